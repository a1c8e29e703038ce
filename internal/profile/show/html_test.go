package show

import (
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/test/support/pagetest"
)

// The page has the course as a chart, and all that the text has.
func TestHTML(t *testing.T) {
	b := profile.NewBuilder()
	for n := range 40 {
		b.Add([]profile.Count{{Syscall: "openat", Calls: float64(100 + 50*(n%10))}, {Syscall: "<sendto>", Container: true, Calls: 30}})
	}
	var html strings.Builder
	if err := HTML(&html, b.Profile()); err != nil {
		t.Fatal(err)
	}
	dom, console := pagetest.Browse(t, pagetest.File(t, html.String()))
	if console != "" {
		t.Errorf("console: %s", console)
	}
	if strings.Count(dom, "<canvas") != 1 || strings.Contains(dom, `data-drawn="0"`) {
		t.Error("the course is not drawn")
	}
	for _, want := range []string{"file", "containers", "Bursts of", "openat", "&lt;sendto&gt;"} {
		if !strings.Contains(dom, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}
