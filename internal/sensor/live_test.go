package sensor

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// requireBPF skips a test that needs root and the kernel's cooperation, or
// fails it where that is promised.
func requireBPF(t *testing.T) {
	t.Helper()
	needs.Root(t)
}

// alertLine is a JSON alert.
type alertLine struct {
	Rule     string         `json:"rule"`
	Output   string         `json:"output"`
	Priority string         `json:"priority"`
	Source   string         `json:"source"`
	Hostname string         `json:"hostname"`
	Time     time.Time      `json:"time"`
	Tags     []string       `json:"tags"`
	Fields   map[string]any `json:"output_fields"`
}

// running is a sensor under test.
type running struct {
	t      *testing.T
	alerts chan alertLine
	cancel context.CancelFunc
	done   chan error
	hangup chan os.Signal
	stderr *watched
}

// watched keeps the text written to it and reports when it contains a word.
type watched struct {
	mu    sync.Mutex
	text  bytes.Buffer
	waits map[string]chan struct{}
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	for word, c := range w.waits {
		if strings.Contains(w.text.String(), word) {
			close(c)
			delete(w.waits, word)
		}
	}
	return len(p), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// saw returns a channel that is closed once word has been written.
func (w *watched) saw(word string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan struct{})
	if strings.Contains(w.text.String(), word) {
		close(c)
		return c
	}
	if w.waits == nil {
		w.waits = map[string]chan struct{}{}
	}
	w.waits[word] = c
	return c
}

// start runs a sensor with the given rules (the default ones if empty) until
// the test ends, and returns when it is ready.
func start(t *testing.T, rules string, overrides ...string) *running {
	t.Helper()
	requireBPF(t)
	dir := t.TempDir()
	configFile := filepath.Join(dir, "config.yaml")
	write(t, configFile, "watch_config_files: false\n")
	var files []string
	if rules != "" {
		files = []string{filepath.Join(dir, "rules.yaml")}
		write(t, files[0], rules)
	}
	overrides = append([]string{"json_output=true", "peregrine.status_socket="}, overrides...)
	return startWith(t, func() (*config.Config, error) {
		return config.Load(config.Options{Path: configFile, Overrides: overrides, RulesFiles: files})
	})
}

func startWith(t *testing.T, load func() (*config.Config, error)) *running {
	return startWithFiles(t, nil, load)
}

// startWithFiles starts a sensor that reloads when the files change.
func startWithFiles(t *testing.T, files *config.Files, load func() (*config.Config, error)) *running {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &running{
		t: t, alerts: make(chan alertLine, 1<<17), cancel: cancel, done: make(chan error, 1),
		hangup: make(chan os.Signal, 1), stderr: &watched{},
	}
	ready := s.stderr.saw("ready")
	go s.read(r)
	go func() {
		err := Run(ctx, Options{
			LoadConfig: load, Files: files, Stdout: w, Stderr: s.stderr, Getenv: os.Getenv, Hangup: s.hangup, Reopen: make(chan os.Signal), Verbose: true,
		})
		w.Close()
		s.done <- err
	}()
	select {
	case <-ready:
	case err := <-s.done:
		t.Fatalf("the sensor ended: %v\n%s", err, s.stderr)
	case <-time.After(needs.Patience):
		t.Fatalf("the sensor is not ready after %v\n%s", needs.Patience, s.stderr)
	}
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *running) read(r *os.File) {
	defer close(s.alerts)
	defer r.Close()
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var a alertLine
		if json.Unmarshal(in.Bytes(), &a) == nil { // the summary at the end is no JSON
			s.alerts <- a
		}
	}
}

// stop ends the sensor and returns all alerts that were not taken yet.
func (s *running) stop() []alertLine {
	s.t.Helper()
	s.cancel()
	if s.done != nil {
		if err := <-s.done; err != nil && !errors.Is(err, context.Canceled) {
			s.t.Errorf("stop: %v", err)
		}
		s.done = nil
	}
	var rest []alertLine
	for a := range s.alerts {
		rest = append(rest, a)
	}
	return rest
}

// wait returns the first alert for which ok is true.
func (s *running) wait(what string, ok func(alertLine) bool) alertLine {
	s.t.Helper()
	a, found := s.poll(needs.Patience, ok)
	if !found {
		s.t.Fatalf("no alert %s\n%s", what, s.stderr)
	}
	return a
}

// poll is wait with an end.
func (s *running) poll(length time.Duration, ok func(alertLine) bool) (alertLine, bool) {
	timeout := time.After(length)
	for {
		select {
		case a, open := <-s.alerts:
			if !open || ok(a) {
				return a, open
			}
		case <-timeout:
			return alertLine{}, false
		}
	}
}

// provoke does something until its alert arrives: on a busy machine an event
// may be lost, which is counted and not under test here.
func (s *running) provoke(what string, do func(), ok func(alertLine) bool) alertLine {
	s.t.Helper()
	for range 10 {
		do()
		if a, found := s.poll(3*time.Second, ok); found {
			return a
		}
	}
	s.t.Fatalf("no alert %s\n%s", what, s.stderr)
	return alertLine{}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

func TestCatShadow(t *testing.T) {
	s := start(t, "")
	before := time.Now()
	run(t, "cat", "/etc/shadow")
	a := s.wait("for cat /etc/shadow", func(a alertLine) bool {
		return a.Rule == "Read sensitive file untrusted" && a.Fields["proc.name"] == "cat"
	})
	for name, want := range map[string]any{
		"fd.name": "/etc/shadow", "evt.type": "openat", "proc.cmdline": "cat /etc/shadow", "proc.pname": "sensor.test",
		"user.name": "root", "user.uid": float64(0), "container.id": "host", "container.name": "host", "k8s.pod.name": nil,
		"container.image.repository": "",
	} {
		if got, ok := a.Fields[name]; got != want || !ok {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	if exe, _ := exec.LookPath("cat"); !strings.HasSuffix(fmt.Sprint(a.Fields["proc.exepath"]), filepath.Base(exe)) {
		t.Errorf("proc.exepath = %v", a.Fields["proc.exepath"])
	}
	if a.Time.Before(before.Add(-time.Millisecond)) || a.Time.After(time.Now()) {
		t.Errorf("time %v, between %v and %v", a.Time, before, time.Now())
	}
	if a.Priority != "Warning" || a.Source != "syscall" || a.Hostname == "" {
		t.Errorf("alert %+v", a)
	}
}

// Nothing is left attached, and no alert in a queue, when Run has returned.
func TestStopDeliversEverything(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "marker")
	write(t, marker, "")
	s := start(t, fmt.Sprintf(`
- rule: Marker
  desc: d
  condition: evt.type in (open, openat) and fd.name=%s
  output: "n=%%evt.num"
  priority: INFO
`, marker))
	const n = 2000
	for range n {
		f, err := os.Open(marker)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if got := len(s.stop()); got != n {
		t.Errorf("%d alerts for %d opens", got, n)
	}
}

// A thousand reloads under load lose no event and leak no descriptor, and a
// bad file changes nothing.
func TestReload(t *testing.T) {
	requireBPF(t)
	n := 1000
	if testing.Short() {
		n = 20
	}
	dir := t.TempDir()
	marker, rules, configFile := filepath.Join(dir, "marker"), filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "c.yaml")
	write(t, marker, "")
	write(t, configFile, "watch_config_files: false\n")
	rule := func(name string) string {
		return fmt.Sprintf("- rule: %s\n  desc: d\n  condition: evt.type in (open, openat) and fd.name=%s\n  output: o\n  priority: INFO\n", name, marker)
	}
	write(t, rules, rule("First"))
	s := startWith(t, func() (*config.Config, error) {
		return config.Load(config.Options{
			Path: configFile, RulesFiles: []string{rules},
			Overrides: []string{"json_output=true", "peregrine.status_socket="},
		})
	})
	stop, opened := make(chan struct{}), make(chan int)
	var received atomic.Int64
	go func() {
		n := 0
		defer func() { opened <- n }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			if int64(n)-received.Load() > 500 { // no more than ring and queues hold
				runtime.Gosched()
				continue
			}
			if f, err := os.Open(marker); err == nil {
				f.Close()
				n++
			}
		}
	}()
	seen := map[string]int{}
	count := func(a alertLine) { seen[a.Rule]++; received.Add(1) }
	var before int
	for i := range n {
		name := fmt.Sprintf("Rule %d", i%7)
		write(t, rules, rule(name))
		s.hangup <- syscall.SIGHUP
		s.wait("of "+name, func(a alertLine) bool { count(a); return a.Rule == name })
		if i == 0 {
			before = descriptors(t)
		}
	}
	if after := descriptors(t); after > before+3 { // the opener's file comes and goes
		t.Errorf("%d descriptors after the first reload, %d after the last", before, after)
	}
	write(t, rules, "- rule: Broken\n")
	kept := s.stderr.saw("stays in force")
	s.hangup <- syscall.SIGHUP
	select {
	case <-kept:
	case <-time.After(needs.Patience):
		t.Fatal("the broken file was not refused")
	}
	close(stop)
	opens := <-opened
	failure := 0
	for _, a := range s.stop() {
		if a.Rule == "Falco internal: hot restart failure" {
			failure++
			continue
		}
		count(a)
	}
	total := 0
	for _, c := range seen {
		total += c
	}
	if total != opens {
		t.Errorf("%d alerts for %d opens while rules changed: %v\n%s", total, opens, seen, s.stderr)
	}
	if failure != 1 {
		t.Errorf("%d alerts about the failed reload", failure)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == actArg {
		os.Exit(act(os.Args[2], os.Args[3:]))
	}
	leaks.Main(m)
}
