package live

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) { leaks.Main(m) }

// at is the sensor n seconds after its start.
func at(n uint64) metrics.Snapshot {
	return metrics.Snapshot{
		Time: -int64(n) * 1e9, Elapsed: time.Duration(n) * time.Second, Version: "1.2.3", Host: metrics.Host{Name: "h", KernelRelease: "6.1"}, Events: 100_000 * n, Alerts: 20 * n, Throttled: 3,
		Probe: metrics.Probe{Seen: 1_500_000 * n, Filtered: 1_399_990 * n, Delivered: 100_000 * n, Masks: metrics.Masks{Written: 30 * n, Held: 3, Filtered: 200_000 * n, Stale: 7 * n}, Unread: 2 * n, Untranslated: n, Hooks: metrics.Hooks{InForce: "tracepoint", Because: "functions are being attached"}, Drops: event.Drops{event.DropBuffer: {event.LostOpen: 10 * n}}},
		Rings: []metrics.Ring{{Size: 8 << 20, Used: 1 << 20, MaxUsed: 4 << 20}},
		State: metrics.State{Threads: 1234, Containers: 3},
		Audit: &metrics.Audit{Bodies: 5, Events: 1200, Malformed: 1, Oversized: 2, Refused: 4},
		Metadata: metrics.Metadata{Known: 2, Waited: 5, Cut: 1, Runtimes: []metrics.Runtime{
			{Engine: "docker", Socket: "/run/docker.sock", Present: true, Connected: true, Told: 2},
			{Engine: "cri", Socket: "/run/crio/crio.sock", Present: true, Error: "deadline exceeded"},
			{Engine: "podman", Socket: "/run/podman/podman.sock"},
		}},
		Resources: metrics.Resources{CPUTime: time.Duration(n) * 250 * time.Millisecond, Uptime: time.Duration(n) * time.Second, RSS: 50 << 20},
		Rules:     []metrics.Rule{{Name: "quiet", Evaluations: 1000 * n}, {Name: "loud", Matches: 20 * n, Evaluations: 40 * n}, {Name: "never"}},
		Kinds:     []metrics.Kind{{Name: "openat", Events: 90_000 * n}, {Name: "execve", Events: 10_000 * n}},
		Processes: []metrics.Process{{PID: 7, Name: "nginx", Events: 99_000 * n}, {PID: 8, Name: "evil\x1b[2J", Events: 1}},
		Channels: []metrics.Channel{
			{Name: "stdout", Alerts: 20 * n, Sent: 20 * n, Latency: metrics.Latency{Counts: []uint64{0, 0, 0, 0, 18, 2}}},
			{Name: "http", Alerts: 20 * n, Queued: 20 * n, Errors: 4, LastError: "connection refused"},
		},
		Reloads: 2, LastReloadErr: "falco.yaml:3:1: json_output: expected true or false",
	}
}

// serveSensor serves snapshots, each a second later than the last.
func serveSensor(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.sock")
	n := uint64(9)
	s, err := Listen(path, Sensor{Snapshot: func(context.Context) (metrics.Snapshot, error) { n++; return at(n), nil }, Processes: known, Costs: costs}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("the socket is left behind")
		}
	})
	return path
}

// known is a table of two processes.
func known(context.Context) ([]metrics.KnownProcess, error) {
	return []metrics.KnownProcess{{PID: 1, Start: 5, Name: "init"}, {PID: 7, PPID: 1, Start: 1e9, Name: "evil\x1b[2J", Container: "0123456789ab"}}, nil
}

// costs are those of a host with a million syscalls a second.
func costs(_ context.Context, d time.Duration) (metrics.Costs, error) {
	return metrics.Costs{
		Elapsed: d,
		Programs: []metrics.Program{
			{Name: "sched_exec", Runs: uint64(d / 100_000_000), Time: d / 10_000},
			{Name: "sys_exit", Runs: uint64(d / 1000), Time: d / 25},
		},
		Families: []metrics.Family{
			{Name: "scheduler", Delivered: metrics.Tally{Events: uint64(d / 100_000_000), Time: d / 20_000}},
			{Name: "open", Filtered: metrics.Tally{Events: uint64(d / 10_000), Time: d / 50}, Masked: metrics.Tally{Events: uint64(d / 20_000), Time: d / 100}, Dropped: metrics.Tally{Events: uint64(d / 1_000_000), Time: d / 1000}},
		},
	}, nil
}

// Programs are measured for the time asked for, and shown with what they cost.
func TestPrograms(t *testing.T) {
	path := serveSensor(t)
	var b strings.Builder
	if err := Status(t.Context(), &b, Options{Socket: path, Interval: 2 * time.Second, Programs: true}); err != nil {
		t.Fatal(err)
	}
	golden(t, "programs.txt", b.String())
	b.Reset()
	if err := Status(t.Context(), &b, Options{Socket: path, Interval: 2 * time.Second, Programs: true, JSON: true}); err != nil {
		t.Fatal(err)
	}
	var got metrics.Snapshot
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	want, _ := costs(t.Context(), 2*time.Second)
	if diff := cmp.Diff(&want, got.Costs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Without a kernel that counts, the view says why.
func TestProgramsNotCounted(t *testing.T) {
	var b strings.Builder
	WriteCosts(&b, &metrics.Costs{Elapsed: time.Second, Because: "it\x1b[2J refuses"})
	if want := "\nPrograms in the kernel, measured for 1s:\n  it.[2J refuses\n  no event was seen\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

// No time, and too long a one, are refused with what is expected.
func TestProgramsTooLong(t *testing.T) {
	c := NewClient(serveSensor(t))
	defer c.Close()
	if _, err := c.Costs(t.Context(), time.Hour); err == nil || !strings.Contains(err.Error(), "at most 1m0s") {
		t.Errorf("error %v", err)
	}
	for _, query := range []string{"", "?for=1h", "?for=-1s", "?for=0", "?for=x"} {
		if err := c.ask(t.Context(), "/costs"+query, &metrics.Costs{}); err == nil || !strings.Contains(err.Error(), "at most 1m0s, such as") {
			t.Errorf("%s: error %v", query, err)
		}
	}
}

// A client that goes ends the measurement.
func TestProgramsGivenUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	began, ended := make(chan bool), make(chan bool)
	s, err := Listen(path, Sensor{Costs: func(ctx context.Context, _ time.Duration) (metrics.Costs, error) {
		close(began)
		<-ctx.Done()
		close(ended)
		return metrics.Costs{}, nil
	}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	c := NewClient(path)
	asking, giveUp := context.WithCancel(ctx)
	go func() { <-began; giveUp() }()
	if _, err := c.Costs(asking, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	<-ended
	c.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The length is read from the address only: a body is left alone.
func TestProgramsBody(t *testing.T) {
	c, err := net.Dial("unix", serveSensor(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	body := "--b\r\nContent-Disposition: form-data; name=\"for\"\r\n\r\n1s\r\n--b--\r\n"
	fmt.Fprintf(c, "GET /costs HTTP/1.1\r\nHost: sensor\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusBadRequest {
		t.Errorf("answered %s, want a refusal without ?for=", r.Status)
	}
}

// The table arrives unchanged.
func TestProcesses(t *testing.T) {
	c := NewClient(serveSensor(t))
	defer c.Close()
	got, err := c.Processes(t.Context())
	want, _ := known(t.Context())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got); -update rewrites\n%s", name, diff)
	}
}

func TestStatus(t *testing.T) {
	var b strings.Builder
	if err := Status(t.Context(), &b, Options{Socket: serveSensor(t), Interval: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	golden(t, "status.txt", b.String())
}

func TestTopOnce(t *testing.T) {
	var b strings.Builder
	if err := Top(t.Context(), &b, Options{Socket: serveSensor(t), Interval: time.Millisecond, Once: true, Rows: 5}); err != nil {
		t.Fatal(err)
	}
	golden(t, "top.txt", b.String())
	if strings.Contains(b.String(), "\x1b") {
		t.Error("control sequences without a terminal")
	}
}

// stopAfter ends its context after some writes.
type stopAfter struct {
	written bytes.Buffer // not embedded: its WriteString would be used in Write's place
	n       int
	stop    func()
}

func (s *stopAfter) Write(p []byte) (int, error) {
	if s.n--; s.n == 0 {
		s.stop()
	}
	return s.written.Write(p)
}

func TestTopRedraws(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := &stopAfter{n: 3, stop: cancel} // screen, then two views
	if err := Top(ctx, w, Options{Socket: serveSensor(t), Interval: time.Millisecond, Rows: 1, Terminal: true}); err != nil {
		t.Fatal(err)
	}
	if got := w.written.String(); strings.Count(got, "\x1b[H\x1b[2J") < 2 || !strings.HasSuffix(got, "\x1b[?25h\x1b[?1049l") {
		t.Errorf("%q", got)
	}
}

func TestJSON(t *testing.T) {
	path := serveSensor(t)
	var b strings.Builder
	if err := Status(t.Context(), &b, Options{Socket: path, JSON: true}); err != nil {
		t.Fatal(err)
	}
	var got metrics.Snapshot
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(at(10), got); diff != "" {
		t.Errorf("a snapshot does not survive its journey (-want +got)\n%s", diff)
	}
	b.Reset()
	if err := Top(t.Context(), &b, Options{Socket: path, Interval: time.Millisecond, JSON: true, Once: true}); err != nil {
		t.Fatal(err)
	}
	if strings.Count(b.String(), "\n") != 1 {
		t.Errorf("not one line: %s", b.String())
	}
}

func TestNoSensor(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	for _, path := range []string{stale, filepath.Join(dir, "missing")} {
		err := Status(t.Context(), &strings.Builder{}, Options{Socket: path})
		if err == nil || !strings.Contains(err.Error(), "no sensor answers at "+path) {
			t.Errorf("error %v", err)
		}
	}
}

// Something else than a sensor listens there.
func TestStrangeServers(t *testing.T) {
	for want, answer := range map[string]string{
		"answers 500":                 "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
		"a sensor of another version": "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"events\": 1",
		"malformed HTTP":              "hello\r\n\r\n",
		"cannot unmarshal":            "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"events\": \"a\"}",
	} {
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = c.Read(make([]byte, 1024))
			fmt.Fprint(c, answer)
		}()
		err = Status(t.Context(), &strings.Builder{}, Options{Socket: path})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		l.Close()
	}
}

func TestTakeFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	s, err := Listen(path, Sensor{Snapshot: func(context.Context) (metrics.Snapshot, error) { return metrics.Snapshot{}, errors.New("stopping") }, Processes: known}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	if err := Status(ctx, &strings.Builder{}, Options{Socket: path}); err == nil || !strings.Contains(err.Error(), http.StatusText(http.StatusServiceUnavailable)) {
		t.Errorf("error %v", err)
	}
	cancel()
	<-done
}

func TestHooks(t *testing.T) {
	for _, tc := range []struct {
		hooks metrics.Hooks
		want  string
	}{
		{metrics.Hooks{}, ""},
		{metrics.Hooks{InForce: "functions", Functions: 1134}, "Syscalls are seen by function: 1,134 are hooked.\n"},
		{metrics.Hooks{InForce: "tracepoint", Because: "so\x1b[2J"}, "Syscalls are seen at tracepoint sys_exit: so.[2J.\n"},
	} {
		var b strings.Builder
		writeHooks(&b, tc.hooks)
		if b.String() != tc.want {
			t.Errorf("%+v: %q, want %q", tc.hooks, b.String(), tc.want)
		}
	}
}
