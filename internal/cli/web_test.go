package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/needs"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// browse opens a page in a headless Chromium that knows no other host, and
// returns what it is in the end, and what went wrong in it.
func browse(t *testing.T, address string, args ...string) (dom, console string) {
	t.Helper()
	needs.Programs(t, "chromium")
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "chromium", append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
		"--user-data-dir=" + t.TempDir(), "--virtual-time-budget=5000", "--enable-logging=stderr", "--dump-dom"}, append(args, address)...)...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, errs.String())
	}
	for line := range strings.Lines(errs.String()) {
		if strings.Contains(line, "CONSOLE") {
			console += line
		}
	}
	return out.String(), console
}

// A run is seen in a browser as it goes on: charts that grow, rounds, the end
// with the report; without errors, or requests of anybody else.
func TestWebPage(t *testing.T) {
	for name, args := range map[string][]string{
		"light-wide":  {"--window-size=1200,900"},
		"dark-narrow": {"--window-size=400,900", "--blink-settings=preferredColorScheme=0"},
	} {
		t.Run(name, func(t *testing.T) {
			env := Env{Stderr: io.Discard}
			page, err := openPage(env, "127.0.0.1:0", "Capacity run")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			address, watched := behind(t, page.URL())
			go func() {
				<-watched
				simulate(ctx, t, page)
			}()
			dom, console := browse(t, address, args...)
			if console != "" {
				t.Errorf("console: %s", console)
			}
			seen := regexp.MustCompile(`data-updates="(\d+)"`).FindStringSubmatch(dom)
			if len(seen) == 0 {
				t.Fatalf("no updates\n%.200s ... %s", dom, dom[max(0, len(dom)-1500):])
			}
			if n, err := strconv.Atoi(seen[1]); err != nil || n != 20 {
				t.Errorf("%s updates", seen[1])
			}
			if n := strings.Count(dom, "<canvas"); n != 3 {
				t.Errorf("%d charts", n)
			}
			for _, want := range []string{`data-ended="true"`, "a step\n", "clean", `id="report"`, "the whole report", `id="now-cpu">0.25 of 0.5<`} {
				if !strings.Contains(dom, want) {
					t.Errorf("the page has no %q", want)
				}
			}
		})
	}
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

// simulate is a capacity run of a sensor that does not exist.
func simulate(ctx context.Context, t *testing.T, page *webPage) {
	page.say(func(string, ...any) {})("a step")
	trial := page.trial(func(sweep.Progress) {})
	round := page.round(nil)
	limit := capacity.Limit{CPU: 0.5, Memory: 512 << 20}
	for n := range 20 {
		trial(sweep.Progress{Row: 1, Rows: 1, Limit: limit, Phase: "search", Target: 1000, Length: time.Second})
		events, drops, cpu := float64(1000*n), float64(n/15*50), 0.25
		round(bench.Progress{Round: 1 + n/5, Phase: "load", Rate: float64(1000 * n), Moment: bench.Moment{Alerts: float64(900 * n), Events: &events, Drops: &drops, CPU: &cpu}})
		if n%5 == 4 {
			done := &capacity.Trial{Verdict: capacity.Verdict{Clean: true}}
			done.Round.Latency.Count, done.Round.Latency.P99 = 10, int64(n)*1e6
			trial(sweep.Progress{Row: 1, Rows: 1, Limit: limit, Phase: "search", Target: 1000, Length: time.Second, Done: done})
		}
		if wait.For(ctx, 20*time.Millisecond) != nil {
			return
		}
	}
	var said bytes.Buffer
	page.end(Env{Stderr: &said}, fmt.Sprintf("<!DOCTYPE html><html lang=en><title>r</title><p>%s</p></html>", "the whole report"))
	if said.Len() > 0 {
		t.Error(said.String())
	}
}
