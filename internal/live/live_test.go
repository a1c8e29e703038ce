package live

import (
	"bufio"
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/page"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// No goroutine is left behind.
func TestMain(m *testing.M) { leaks.Main(m) }

func open(t *testing.T) *Page {
	t.Helper()
	p, err := Listen("0", Board{Title: "A run", Charts: []page.Chart{{Lines: []page.Line{{Name: "load"}, {Name: "CPU"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), needs.Patience)
		defer cancel()
		http.DefaultClient.CloseIdleConnections()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return p
}

func get(t *testing.T, url string) *http.Response {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Body.Close() })
	return r
}

// Late viewers get all events, and present ones get them as they happen, up to
// the report.
func TestEvents(t *testing.T) {
	p := open(t)
	p.Say("begin")
	p.Show(Update{Phase: "load", Values: page.Values{5000, math.NaN()}})
	in := bufio.NewScanner(get(t, p.URL()+"events").Body)
	next := func() (lines []string) {
		for in.Scan() && in.Text() != "" {
			lines = append(lines, in.Text())
		}
		return lines
	}
	if got := next(); got[0] != "event: say" || got[1] != `data: "begin"` {
		t.Errorf("%q", got)
	}
	if got := next(); got[0] != "event: update" || !strings.Contains(got[1], `"phase":"load","values":[5000,null]}`) {
		t.Errorf("%q", got)
	}
	p.Say("two\nlines")
	if got := next(); got[1] != `data: "two\nlines"` {
		t.Errorf("%q", got)
	}
	p.End("<html>\n</html>")
	p.Say("too late")
	if got := next(); got[0] != "event: end" || got[1] != `data: "\u003chtml\u003e\n\u003c/html\u003e"` {
		t.Errorf("%q", got)
	}
	if in.Scan() {
		t.Errorf("%q after the end", in.Text())
	}
}

// The page is on loopback, requires its token, and may contact no other host.
func TestPrivate(t *testing.T) {
	p := open(t)
	r := get(t, p.URL())
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK || !strings.Contains(string(text), "<h1>A run</h1>") {
		t.Errorf("%s, %v\n%s", r.Status, err, text)
	}
	if csp := r.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'; connect-src 'self'") {
		t.Errorf("policy %q", csp)
	}
	host, _, err := net.SplitHostPort(p.listener.Addr().String())
	if err != nil || !net.ParseIP(host).IsLoopback() {
		t.Errorf("it listens at %s, %v", host, err)
	}
	base := "http://" + p.listener.Addr().String()
	for _, path := range []string{"/", "/events", "/" + strings.Repeat("A", len(p.token)) + "/", "/" + p.token + "/other"} {
		if r := get(t, base+path); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	p.End("")
}

func TestAddress(t *testing.T) {
	for address, ok := range map[string]bool{"0": true, ":0": true, "127.0.0.1:0": true, "x": false, "127.0.0.1:65536": false} {
		p, err := Listen(address, Board{})
		if (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
		if err == nil {
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
		} else if !strings.Contains(err.Error(), "expected a port") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
