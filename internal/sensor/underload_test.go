package sensor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/boottime"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/live"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// busy is a source whose events never end: bursts, of which one event in many
// matches.
type busy struct {
	idle
	events [][]byte
	given  int
	paused bool
}

func (b *busy) Next() ([]byte, bool) {
	b.paused = !b.paused && b.given%100 == 99
	if b.paused {
		return nil, false
	}
	b.given++
	return b.events[(b.given-1)%len(b.events)], true
}

func (b *busy) Wait(atMost time.Duration) { b.idle.Wait(min(atMost, time.Millisecond)) }

// A sensor under load whose rules and outputs are exchanged, whose metrics are
// scraped and whose files are reopened delivers each alert whole, and the race
// detector finds nothing.
func TestEverythingAtOnce(t *testing.T) {
	reloads := 100
	if testing.Short() {
		reloads = 25
	}
	dir := t.TempDir()
	socket, configFile, rules := filepath.Join(dir, "s"), filepath.Join(dir, "c.yaml"), filepath.Join(dir, "rules.yaml")
	alerts := filepath.Join(dir, "alerts")
	var posted atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err == nil && checkAlerts(t, text) == 1 {
			posted.Add(1)
		}
	}))
	defer server.Close()
	port := freePort(t)
	settle := func(i int) {
		write(t, configFile, fmt.Sprintf(`
watch_config_files: false
engine: {kind: nodriver}
json_output: true
rules_files: [%s]
outputs_queue: {capacity: %d}
stdout_output: {enabled: false}
file_output: {enabled: true, keep_alive: %t, filename: %s}
program_output: {enabled: true, keep_alive: true, program: "cat >>%s.program"}
http_output: {enabled: true, url: %q}
metrics: {enabled: true, interval: 100ms, output_rule: true, output_file: %s}
webserver: {enabled: true, listen_port: %d, prometheus_metrics_enabled: true}
peregrine: {status_socket: %s}
`, rules, 10+90*(i%2), i%3 == 0, alerts, alerts, server.URL, filepath.Join(dir, "metrics"), port, socket))
		write(t, rules, fmt.Sprintf("- {rule: R%d, desc: d, condition: evt.type=openat and fd.name=/match, output: \"%%proc.name %%fd.name\", priority: INFO}\n", i))
	}
	settle(0)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // for the summary at the end
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	log, hangup, reopen := &watched{}, make(chan os.Signal, 1), make(chan os.Signal, 1)
	s, err := newSensor(Options{
		LoadConfig: func() (*config.Config, error) { return config.Load(config.Options{Path: configFile}) },
		Stdout:     null, Stderr: log, Getenv: func(string) string { return "" }, Hangup: hangup, Reopen: reopen,
	})
	if err == nil {
		err = s.open()
	}
	if err != nil {
		t.Fatal(err)
	}
	maker := reloaded{time: uint64(boottime.Now())}
	source := &busy{idle: newIdle(), events: [][]byte{maker.exec("worker")}}
	for len(source.events) < 499 {
		source.events = append(source.events, maker.open("/harmless"))
	}
	source.events = append(source.events, maker.open("/match"))
	s.source = source
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	ready := log.saw("ready")
	go func() { done <- s.run(ctx) }()
	select {
	case <-ready:
	case <-time.After(needs.Patience):
		t.Fatalf("it is never ready\n%s", log)
	}

	var watching sync.WaitGroup
	watching.Go(func() {
		_ = live.Top(ctx, io.Discard, live.Options{Socket: socket, Interval: time.Millisecond, Rows: 5})
	})
	watching.Go(func() {
		for ctx.Err() == nil {
			scrape(ctx, t, fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
		}
	})
	for i := range reloads {
		settle(i)
		seen := log.saw(fmt.Sprintf("reloaded reload=%d ", i+1))
		reopen <- syscall.SIGUSR1
		hangup <- syscall.SIGHUP
		select {
		case <-seen:
		case <-time.After(needs.Patience):
			t.Fatalf("reload %d never ends\n%s", i, log)
		}
	}
	needs.Eventually(t, "alerts by HTTP", func() bool { return posted.Load() > 0 })
	cancel()
	watching.Wait()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	s.logOut.close(sayTimeout)
	for _, name := range []string{alerts, alerts + ".program"} {
		text, err := os.ReadFile(name)
		if err != nil || checkAlerts(t, text) == 0 {
			t.Errorf("%s: no alerts, %v\n%s", name, err, log)
		}
	}
}

// expected is the output of a rule of the test.
var expected = regexp.MustCompile(`: Informational worker /match `)

// checkAlerts checks that each line is a whole alert, and counts those of rules.
func checkAlerts(t *testing.T, text []byte) (n int) {
	t.Helper()
	for line := range bytes.Lines(text) {
		var a alertLine
		if err := json.Unmarshal(line, &a); err != nil {
			t.Errorf("%q: %v", line, err)
			return n
		}
		if len(a.Rule) > 1 && a.Rule[0] == 'R' {
			n++
			if !expected.MatchString(a.Output) {
				t.Errorf("%s says %q", a.Rule, a.Output)
			}
		}
	}
	return n
}
