package pagetest

import (
	"os"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// A page that does not keep silent is heard.
func TestBrowse(t *testing.T) {
	dom, console := Browse(t, File(t, `<!DOCTYPE html><title>a</title><p>b</p><script>console.log("one\nline"); throw new Error("thrown")</script>`))
	if !strings.Contains(dom, "<p>b</p>") {
		t.Errorf("the page has become %q", dom)
	}
	for _, want := range []string{"page.html: one\nline\n", "page.html: Uncaught Error: thrown\n"} {
		if !strings.Contains(console, want) {
			t.Errorf("console %q lacks %q", console, want)
		}
	}
}

// Of Chromium's log, messages count that are not of itself, in the form of each
// of its releases.
func TestSaid(t *testing.T) {
	const log = `[1:1:1129/002403.687389:ERROR:dbus/bus.cc:405] Failed to connect to the CONSOLE
[1:1:1129/002403.687389:INFO:CONSOLE:1] "a
b", source: file:///p.html (1)
[1:1:1129/002403.687447:INFO:CONSOLE(12)] "x", source: http://127.0.0.1:8/ (12)
[1:1:1129/002403.687447:INFO:CONSOLE(12)] "violation", source:  (0)
[1:1:1129/002403.687447:INFO:CONSOLE:3] "its own", source: chrome-extension://abc/x.js (3)
[1:1:1129/002403.687447:INFO:CONSOLE:3] "its own", source: devtools://devtools/x.js (3)
`
	if got, want := said(log), "file:///p.html: a\nb\nhttp://127.0.0.1:8/: x\n: violation\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A browser leaves nothing in the home directory, which other tests compare with
// what it was.
func TestBrowserKeepsToItself(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	if dom, _ := Browse(t, File(t, "<p>text</p>")); dom == "" {
		t.Error("no page")
	}
	left, err := os.ReadDir(home)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the home directory: %v, %v", left, err)
	}
}
