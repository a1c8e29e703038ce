package cli

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/wait"
	"github.com/peregrine-sec/peregrine/test/support/needs"
	"github.com/peregrine-sec/peregrine/test/support/pagetest"
)

var update = flag.Bool("update", false, "take the pictures in docs/ again")

// A run is seen in a browser as it goes on: charts that grow, rounds, the end
// with the report; without errors, or requests of anybody else.
func TestWebPage(t *testing.T) {
	for _, look := range pagetest.Looks {
		if look.Dark == (look.Width > 1000) { // two of the four are enough
			continue
		}
		t.Run(look.Name, func(t *testing.T) {
			address := watched(t, fmt.Sprintf("<!DOCTYPE html><html lang=en><title>r</title><p>%s</p></html>", "the whole report"))
			dom, console := pagetest.Browse(t, address, look.Flags()...)
			if console != "" {
				t.Errorf("console: %s", console)
			}
			if strings.Contains(dom, "data-owned") || !strings.Contains(dom, "&lt;img src=x") {
				t.Error("what is said is not shown as text")
			}
			seen := regexp.MustCompile(`data-updates="(\d+)"`).FindStringSubmatch(dom)
			if len(seen) == 0 {
				t.Fatalf("no updates\n%.200s ... %s", dom, dom[max(0, len(dom)-1500):])
			}
			if n, err := strconv.Atoi(seen[1]); err != nil || n != moments {
				t.Errorf("%s updates", seen[1])
			}
			if n := strings.Count(dom, "<canvas"); n != 3 {
				t.Errorf("%d charts", n)
			}
			for _, want := range []string{`data-ended="true"`, "a step\n", "clean", `id="report"`, "the whole report", `id="chart-1-0">0.5<`, `id="chart-1-1">0.5<`, `id="chart-2-0">49 ms<`} {
				if !strings.Contains(dom, want) {
					t.Errorf("the page has no %q", want)
				}
			}
		})
	}
}

// With -update, the pictures of the page in docs/ are taken again.
func TestWebPictures(t *testing.T) {
	dir := t.TempDir()
	if *update {
		var err error
		if dir, err = filepath.Abs("../../docs/images"); err != nil {
			t.Fatal(err)
		}
	}
	for _, look := range pagetest.Looks {
		if look.Dark == (look.Width > 1000) && !*update {
			continue
		}
		look.Height = map[bool]int{true: 900, false: 1300}[look.Width > 1000]
		t.Run(look.Name, func(t *testing.T) {
			pagetest.Screenshot(t, watched(t, ""), look, filepath.Join(dir, "live-"+look.Name+".png"))
		})
	}
}

// watched is the address of the page of a run that starts when the page is
// opened.
func watched(t *testing.T, report string) (address string) {
	t.Helper()
	f := watchFlags{ui: "auto", web: "127.0.0.1:0"}
	w, err := f.open(Env{Stderr: io.Discard, Getenv: func(string) string { return "" }}, runBoard("Capacity run"), false, false)
	if err != nil {
		t.Fatal(err)
	}
	w.patience = needs.Patience
	ctx, cancel := context.WithCancel(t.Context())
	address, begun := behind(t, w.page.URL())
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-begun:
		case <-ctx.Done():
		}
		simulate(ctx, w)
		w.end(report)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return address
}

// behind is the page's address behind a proxy that tells when a browser listens
// to the run.
func behind(t *testing.T, page string) (address string, watched <-chan struct{}) {
	t.Helper()
	u, err := url.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: u.Scheme, Host: u.Host})
	seen := make(chan struct{})
	var once sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events") {
			once.Do(func() { close(seen) })
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL + u.Path, seen
}

const moments = 60

// simulate is a capacity run of a sensor that does not exist.
func simulate(ctx context.Context, w *watch) {
	w.say("a step")
	w.say("%s", `<img src=x onerror="document.documentElement.dataset.owned=1">`) // a sensor's name
	limit := capacity.Limit{CPU: 0.5, Memory: 512 << 20}
	for n := range moments {
		w.trial(sweep.Progress{Row: 1, Rows: 1, Limit: limit, Phase: "search", Target: 1000, Length: time.Second})
		rate := float64(int(1000) << (n / 10))
		events, drops, cpu := 1.8*rate, max(0, 1.8*rate-50e3), min(0.5, rate/6e4)
		w.moment(bench.Progress{Round: 1 + n/10, Phase: "load", Rate: rate, Moment: bench.Moment{Alerts: rate - drops/2, Events: &events, Drops: &drops, CPU: &cpu}})
		if n%10 == 9 {
			done := &capacity.Trial{Verdict: capacity.Verdict{Clean: drops == 0, Reasons: []string{"14 % of the events dropped"}}}
			done.Round.Latency.Count, done.Round.Latency.P99 = 10, int64(n)*1e6
			w.trial(sweep.Progress{Row: 1, Rows: 1, Limit: limit, Phase: "search", Target: rate, Length: time.Second, Done: done})
		}
		if wait.For(ctx, 20*time.Millisecond) != nil {
			return
		}
	}
}

// The terminal has a dashboard only where it can be drawn, and is wanted.
func TestTerminal(t *testing.T) {
	for _, test := range []struct {
		ui, term              string
		terminal, quiet, logs bool
		drawn                 bool
	}{
		{ui: "auto", term: "xterm", terminal: true, drawn: true},
		{ui: "auto", term: "xterm", terminal: true, logs: true},
		{ui: "auto", term: "xterm", terminal: true, quiet: true},
		{ui: "auto", term: "dumb", terminal: true},
		{ui: "auto", term: "xterm"},
		{ui: "live", term: "xterm", terminal: true, logs: true, drawn: true},
		{ui: "live", term: "xterm"}, // a pipe
		{ui: "plain", term: "xterm", terminal: true},
	} {
		var out bytes.Buffer
		env := Env{Stderr: &out, Terminal: test.terminal, Getenv: func(name string) string {
			return map[string]string{"TERM": test.term, "NO_COLOR": "1"}[name]
		}}
		f := watchFlags{ui: test.ui}
		w, err := f.open(env, runBoard("A run"), test.quiet, test.logs)
		if err != nil {
			t.Fatal(err)
		}
		w.say("a step")
		w.round(bench.Progress{Phase: "load"})
		w.end("")
		w.end("") // harmless
		text := out.String()
		if drawn := strings.Contains(text, "\x1b[?1049h"); drawn != test.drawn {
			t.Errorf("%+v: %q", test, text)
		}
		if said := strings.Contains(text, "a step\n"); said == test.quiet {
			t.Errorf("%+v: %q", test, text)
		}
		if strings.Contains(text, "\x1b[3") {
			t.Errorf("%+v: colours in spite of NO_COLOR: %q", test, text)
		}
	}
}
