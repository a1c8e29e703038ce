package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

// TestMain is also the sensor: the test binary runs itself with PLAY set.
func TestMain(m *testing.M) {
	if mode := os.Getenv("PLAY"); mode != "" {
		os.Exit(play(mode, os.Args[1:]))
	}
	leaks.Main(m)
}

// play is a sensor with one alert and one sample, and the faults of mode.
func play(mode string, args []string) int {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	if mode == "storm" {
		return storm(term)
	}
	if mode == "floods" {
		line := strings.Repeat("x", 1<<20)
		for range 16 {
			fmt.Fprint(os.Stderr, line)
		}
		fmt.Fprintln(os.Stderr, "\n\x1b]0;owned\x07 no such rule file")
		return 1
	}
	if mode == "lists" {
		fmt.Println(`{"rules":[{"info":{"name":"a","enabled":true}},{"info":{"name":"b","enabled":false}}]}`)
		return 0
	}
	if mode == "dies" {
		fmt.Fprintln(os.Stderr, "no such rule file")
		return 1
	}
	w, err := sensorstats.OpenWriter(args[0], nil)
	if err == nil {
		err = w.Write(time.Unix(1, 0), sensorstats.Counters{Events: 5}, sensorstats.Extra{})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(`{"rule":"r","output_fields":{"evt.time":7}}`)
	if mode != "silent" {
		fmt.Fprintln(os.Stderr, "sensor ready, 3 rules")
	}
	<-term
	switch mode {
	case "stubborn":
		<-term
	case "fails":
		fmt.Fprintln(os.Stderr, "ring is broken")
		return 3
	}
	return 0
}

// stormAlerts is two seconds of 20,000 alerts a second.
const stormAlerts = 40_000

// storm writes alerts of the usual size, one write each as Falco does, as fast
// as they are taken.
func storm(term <-chan os.Signal) int {
	fmt.Fprintln(os.Stderr, "ready")
	text := strings.Repeat("k=v ", 200)
	for i := range stormAlerts {
		fmt.Fprintf(os.Stdout, `{"hostname":"h","output":"%s","output_fields":{"evt.time":%d,"thread.tid":5},"priority":"Warning","rule":"r","source":"syscall","time":"2023-11-14T22:13:20.000000001Z"}`+"\n", text, i+1)
	}
	<-term
	return 0
}

// TestStorm: not one of a flood of alerts is lost between the sensor's pipe
// and the matching.
func TestStorm(t *testing.T) {
	p := player(t, "storm")
	if err := p.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	seen := make([]bool, stormAlerts+1)
	for n := 0; n < stormAlerts; {
		batch, err := p.Alerts().Next(t.Context())
		if err != nil {
			t.Fatalf("after %d: %v", n, err)
		}
		for _, a := range batch {
			if a.Time < 1 || a.Time > stormAlerts || seen[a.Time] {
				t.Fatalf("alert %d: not sent, or seen before", a.Time)
			}
			seen[a.Time] = true
			n++
		}
	}
	c := p.Alerts().Traffic()
	t.Logf("%.0f alerts/s in %d reads", stormAlerts/time.Since(begin).Seconds(), c.Reads)
	if c.Malformed != 0 || c.Alerts != stormAlerts {
		t.Errorf("counts %+v", c)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func player(t *testing.T, mode string) *Process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "stats")
	return NewProcess(Config{
		Command: []string{os.Args[0], file}, Env: []string{"PLAY=" + mode},
		Ready: "ready", StatsFile: file, ReadyTimeout: time.Minute, StopTimeout: time.Minute,
	})
}

func TestLife(t *testing.T) {
	p := player(t, "good")
	for range 2 { // a target can be started again
		var limited int
		err := p.Start(t.Context(), func(pid int) error {
			limited = pid
			// It is held before its first instruction, by a trace.
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil || !strings.Contains(string(text), ") t ") {
				return fmt.Errorf("not stopped: %s, %w", text, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if limited == 0 || limited != p.PID() {
			t.Errorf("limited %d, pid %d", limited, p.PID())
		}
		batch, err := p.Alerts().Next(t.Context())
		if err != nil || len(batch) != 1 || batch[0].Time != 7 {
			t.Errorf("alerts %v, %v", batch, err)
		}
		samples, err := p.Stats().Poll(time.Now())
		if err != nil || len(samples) != 1 || samples[0].Cur.Events != 5 {
			t.Errorf("samples %v, %v", samples, err)
		}
		alerts := p.Alerts()
		if err := p.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := alerts.Next(t.Context()); !errors.Is(err, intake.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
		if p.PID() != 0 {
			t.Errorf("pid %d after the end", p.PID())
		}
	}
}

func TestFaults(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name, mode  string
		change      func(*Config)
		ctx         context.Context
		started     func(int) error
		start, stop string // text of the errors; "" for none
	}{
		{name: "dies", mode: "dies", start: "no such rule file"},
		{name: "never ready", mode: "silent", change: func(c *Config) { c.ReadyTimeout = time.Millisecond }, start: "not ready after 1ms, with 0."},
		{name: "does not say that it is ready, and need not", mode: "silent", change: func(c *Config) { c.ReadyTimeout, c.ReadyHint = time.Millisecond, true }},
		{name: "dies instead of being ready", mode: "dies", change: func(c *Config) { c.ReadyHint = true }, start: "no such rule file"},
		{name: "cannot be limited", mode: "good", started: func(int) error { return errors.New("no cgroup") }, start: "no cgroup"},
		{name: "interrupted", mode: "silent", ctx: canceled, start: "context canceled"},
		{name: "no such command", change: func(c *Config) { c.Command = []string{"/nowhere"} }, start: "no such file"},
		{name: "stubborn", mode: "stubborn", change: func(c *Config) { c.StopTimeout = time.Millisecond }, stop: "was killed"},
		{name: "fails at the end", mode: "fails", stop: "ring is broken"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := player(t, tt.mode)
			if tt.change != nil {
				tt.change(&p.config)
			}
			if tt.ctx == nil {
				tt.ctx = t.Context()
			}
			check(t, "start", p.Start(tt.ctx, tt.started), tt.start)
			if tt.start == "" {
				check(t, "stop", p.Stop(t.Context()), tt.stop)
			}
			if p.PID() != 0 {
				t.Error("still running")
			}
		})
	}
}

// Only our own sensor is asked for its rules, and one that cannot tell is not
// blamed for it.
func TestRules(t *testing.T) {
	for mode, want := range map[string][]string{"lists": {"a"}, "dies": nil, "other": nil} {
		t.Setenv("PLAY", mode)
		p := player(t, mode)
		p.lists = mode != "other"
		if got := p.Rules(t.Context()); !slices.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%s: %q, want %q", mode, got, want)
		}
	}
}

// A sensor under a small limit has longer to start and to stop, and is not waited
// for in silence.
func TestSlowStart(t *testing.T) {
	if p := NewProcess(Config{CPUs: 0.01}); p.config.ReadyTimeout < 5*time.Minute || p.config.StopTimeout < time.Minute {
		t.Errorf("with 0.01 CPU: %v to start, %v to stop", p.config.ReadyTimeout, p.config.StopTimeout)
	}
	p := player(t, "silent")
	p.config.ReadyTimeout, p.config.CPUs, p.sayEvery = 300*time.Millisecond, 0.01, time.Millisecond
	said := make(chan string, 1)
	p.Tell(func(format string, args ...any) {
		select {
		case said <- fmt.Sprintf(format, args...):
		default:
		}
	})
	err := p.Start(t.Context(), nil)
	check(t, "start", err, "under a limit of 0.01: give it more CPU, or fewer rules")
	if text := <-said; !strings.Contains(text, "waiting for the sensor to be ready: 0s of at most 0s, 0.") {
		t.Error(text)
	}
}

func check(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

// A sensor whose log is one endless line takes no more memory than others, and
// its last lines cannot control the terminal.
func TestEndlessLog(t *testing.T) {
	p := player(t, "floods")
	err := p.Start(t.Context(), nil)
	check(t, "start", err, ".]0;owned. no such rule file")
	if err != nil && len(err.Error()) > 1<<20 {
		t.Errorf("%d bytes were kept of it", len(err.Error()))
	}
}

func TestKilledMeanwhile(t *testing.T) {
	p := player(t, "good")
	if err := p.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(p.PID(), syscall.SIGKILL)
	<-p.Exited()
	err := p.Stop(t.Context())
	check(t, "stop", err, "ended by itself with signal: killed")
	var ended *EndedError
	if !errors.As(err, &ended) || !ended.Killed() {
		t.Errorf("%v: want it killed", err)
	}
}
