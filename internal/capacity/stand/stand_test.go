package stand

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/test/support/player"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestMain(m *testing.M) {
	if os.Getenv("STAND_TEST_ROLE") == "falco" {
		os.Exit(player.Main(os.Args[1:]))
	}
	if os.Getenv("STAND_TEST_ROLE") == "run" {
		playRun()
		return
	}
	leaks.Main(m)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestNewErrors(t *testing.T) {
	actions := action.All()[:1]
	for want, o := range map[string]Options{
		"no actions":          {Kind: Embedded},
		"expected embedded":   {Kind: "zeek", Actions: actions},
		"exactly one":         {Kind: Running, Actions: actions},
		"--alerts is missing": {Kind: Running, Actions: actions, PID: 1},
		"no-such-falco":       {Kind: Falco, Actions: actions, Program: "/no-such-falco"},
	} {
		if _, err := New(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
}

// A Falco that does not answer keeps nobody from leaving.
func TestNewInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(ctx, Options{Kind: Falco, Actions: action.All()[:1], Program: "/bin/sh"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Unreadable sources are refused before a limit is set.
func TestNewRefusesSources(t *testing.T) {
	for _, tt := range []struct{ alerts, stats, want string }{
		{"stdin", "", "give file:PATH"},
		{"-", "", "give file:PATH"},
		{"htp", "", "--alerts: alerts from"},
		{"https://127.0.0.1:8443", "", "http://127.0.0.1:PORT"},
		{"grpc://node:5060", "", "grpc:PATH"},
		{"http://0.0.0.0:8080", "", "http://127.0.0.1:PORT"},
		{"http://172.17.0.1:8080", "", "of a container"},
		{"http", "stats", "--stats: statistics from"},
		{"http", "http://node/metrics", ""},
		{"http://[::1]:8080", "/var/log/stats.json", ""},
		{"grpc", "", ""},
		{"grpc:/run/falco.sock", "", ""},
		{"unix:/run/a.sock", "", ""},
		{"file:/var/log/a.json", "", ""},
	} {
		_, err := New(t.Context(), Options{Kind: Running, Actions: action.All()[:1], PID: 1, Alerts: tt.alerts, Stats: tt.stats})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("--alerts %s --stats %s: %v, want %q", tt.alerts, tt.stats, err, tt.want)
		}
	}
}

// A Falco is started in the way that its release has: -s until 0.34, a rate
// limit until 0.36, append_output by -o since 0.40.
func TestFalcoCommand(t *testing.T) {
	o := &Options{Program: "/usr/bin/falco", Config: "f.yaml", Rules: []string{"a.yaml", "b.yaml"}, Args: []string{"-A"}, Dir: "/run"}
	always := []string{"/usr/bin/falco -c f.yaml -r a.yaml -r b.yaml ", "-o json_output=true", "-o log_level=info", " -A", "/run/falco-stats.json"}
	const metrics, file, appended, printed, rate, grpc = "metrics.output_file=", " -s /run/", "append_output[]=", " -p pid=%proc.pid tid=%thread.tid", "outputs.rate=", "grpc_output"
	const snapshots = "metrics.output_rule=false"
	for release, has := range map[string][]string{
		"0.33.1": {file, printed, rate, grpc}, "0.34.0": {file, printed, rate, grpc}, "0.35.1": {metrics, snapshots, printed, rate, grpc}, "0.36.2": {metrics, snapshots, printed, rate, grpc},
		"0.38.2": {metrics, snapshots, printed, grpc}, "0.39.0": {metrics, snapshots, printed, grpc}, "0.40.0": {metrics, snapshots, appended, grpc}, "0.43.0": {metrics, snapshots, appended, grpc},
		"0.44.1": {metrics, snapshots, appended}, "0.45.0-rc1": {metrics, snapshots, appended}, "1.0.0": {metrics, snapshots, appended}, "": {metrics, snapshots, appended}, "0.0.0-6c85cc8": {metrics, snapshots, appended},
	} {
		c := falcoConfig(o, build{release: release})
		line := strings.Join(c.Command, " ")
		for _, part := range always {
			if !strings.Contains(line, part) {
				t.Errorf("%s: command %q lacks %q", release, line, part)
			}
		}
		for _, part := range []string{metrics, snapshots, file, appended, printed, rate, grpc} {
			if strings.Contains(line, part) != slices.Contains(has, part) {
				t.Errorf("%s: %q in %q: want %v", release, part, line, !strings.Contains(line, part))
			}
		}
		if c.StatsFile != "/run/falco-stats.json" {
			t.Errorf("stats are read from %s", c.StatsFile)
		}
	}
}

// Flags that releases have or have not are given to those that name them. The
// driver is only chosen if the default one is missing, and the arguments do not
// choose one.
func TestFalcoFlags(t *testing.T) {
	before := devices
	t.Cleanup(func() { devices = before })
	module := filepath.Join(t.TempDir(), "falco0")
	check(t, os.WriteFile(module, nil, 0o600))
	const both = "      --modern-bpf   Use BPF modern probe\n  -U, --unbuffered   Turn off\n"
	for _, tt := range []struct {
		help, device, probe string
		args                []string
		want                string
	}{
		{"", "", "", nil, ""},
		{"  -U, --unbuffered   Turn off output buffering", "", "", nil, "-U"},
		{both, "", "", nil, "-U --modern-bpf"},
		{both, module, "", nil, "-U"},
		{both, "", "/probe.o", nil, "-U"},
		{both, "", "", []string{"--nodriver"}, "-U"},
		{both, "", "", []string{"-o", "engine.kind=ebpf"}, "-U"},
		{both, "", "", []string{"--modern-bpf"}, "-U"},
		{both, "", "", []string{"-o", "engine.modern_ebpf.buf_size_preset=6"}, "-U --modern-bpf"},
	} {
		devices = tt.device
		t.Setenv("FALCO_BPF_PROBE", tt.probe)
		c := falcoConfig(&Options{Program: "falco", Args: tt.args}, build{release: "0.44.1", help: tt.help})
		given := c.Command[1 : len(c.Command)-len(tt.args)]
		if got := strings.Join(given[:slices.Index(given, "-o")], " "); got != tt.want {
			t.Errorf("%+v: flags %q", tt, got)
		}
	}
}

// Without a Falco, the error says what to do.
func TestFindFalco(t *testing.T) {
	before := usualPlaces
	t.Cleanup(func() { usualPlaces = before })
	t.Setenv("PATH", t.TempDir())
	usualPlaces = []string{filepath.Join(t.TempDir(), "falco")}
	_, err := findFalco("")
	for _, want := range []string{"PATH", usualPlaces[0], "install Falco", "--falco FILE", "--unit", "--container"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	check(t, os.WriteFile(usualPlaces[0], nil, 0o755))
	if got, err := findFalco(""); err != nil || got != usualPlaces[0] {
		t.Errorf("%q, %v", got, err)
	}
}

// A sensor that runs is named by its program and process, however it was named.
func TestDescribeRunning(t *testing.T) {
	me := "stand.test (process " + itoa(os.Getpid()) + ")"
	active := limit.Host{Run: func(context.Context, string, ...string) (string, error) {
		return "LoadState=loaded\nActiveState=active\nMainPID=" + itoa(os.Getpid()) + "\n", nil
	}}
	inactive := limit.Host{Run: func(context.Context, string, ...string) (string, error) {
		return "LoadState=loaded\nActiveState=inactive\nMainPID=0\n", nil
	}}
	for want, o := range map[string]Options{
		me:                            {PID: os.Getpid()},
		me + " of unit falco.service": {Unit: "falco.service", Host: active},
		"unit falco.service":          {Unit: "falco.service", Host: inactive}, // which ends the run when it is limited
	} {
		o.Kind = Running
		if got := (&Stand{Options: o}).Describe(t.Context()).Name; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// newStand is a test stand with the player of a Falco, limited by real cgroups.
func newStand(t *testing.T, rate string) (*Stand, *fakeGenerator) {
	t.Helper()
	needs.Root(t)
	dir := t.TempDir()
	g := &fakeGenerator{socket: filepath.Join(dir, "fire.sock")}
	t.Setenv("STAND_TEST_ROLE", "falco")
	t.Setenv(player.EventsEnv, g.socket)
	t.Setenv(player.RateEnv, rate)
	self, err := os.Executable()
	check(t, err)
	read, ok := action.Lookup("syscall.ReadSensitiveFileUntrusted")
	if !ok {
		t.Fatal("no such action")
	}
	s, err := New(t.Context(), Options{Kind: Falco, Program: self, Actions: []*action.Action{read}, Dir: dir, JournalDir: filepath.Join(dir, "journal"),
		Log: io.Discard, Generate: g.generate, Drain: 300 * time.Millisecond, Watch: 400 * time.Millisecond, Patience: needs.Patience})
	check(t, err)
	return s, g
}

// quick is a search of some seconds.
func quick() capacity.Plan {
	p := capacity.QuickPlan()
	p.Start, p.Precision = 200, 0.25
	p.Ramp, p.Bisect, p.Confirm = 500*time.Millisecond, 500*time.Millisecond, time.Second
	p.Idle, p.WarmUp, p.Budget = 300*time.Millisecond, 300*time.Millisecond, 12*time.Second
	return p
}

func measure(t *testing.T, s *Stand, progress func(sweep.Progress)) ([]capacity.Row, error) {
	t.Helper()
	o := sweepOptions(s, quick())
	o.Observer = observer(progress)
	return sweep.Run(context.Background(), o)
}

// sweepOptions measure one row also on a host that other tests keep busy; a
// canary that is not seen is an error all the same.
func sweepOptions(s *Stand, plan capacity.Plan) sweep.Options {
	return sweep.Options{Limits: []capacity.Limit{{CPU: 1, Memory: 256 << 20}}, Load: capacity.AlertsOnly, Plan: plan, Repeat: 1,
		Total: time.Minute, Variants: []sweep.Variant{{Stand: s}}, Now: time.Now, Force: true}
}

// most is the highest rate that a second can pass at a capacity of 1000: the
// player's ring holds sixteen seconds, and a tenth more is a tenth of a second
// of latency at its end.
const most = 1350

// answered says whether a row has found the sensor's limit. On a machine that
// other tests load, it is a lower bound, for want of CPU.
func answered(row capacity.Row) bool {
	return row.Status == capacity.Confirmed || row.Status == capacity.AtLeast && row.Factor.Name == capacity.FactorMachine
}

// observer receives progress; it may be nil.
type observer func(sweep.Progress)

func (o observer) Progress(p sweep.Progress) {
	if o != nil {
		o(p)
	}
}

func (observer) Keep([]capacity.Row) {}

// leftovers are cgroups of this process and journals that are still there.
func leftovers(t *testing.T, s *Stand) []string {
	t.Helper()
	journals, err := filepath.Glob(filepath.Join(s.JournalDir, "*"))
	check(t, err)
	cgroups, err := filepath.Glob("/sys/fs/cgroup/*/peregrine-capacity-" + itoa(os.Getpid()))
	check(t, err)
	return append(journals, cgroups...)
}

// A whole row with a child process in a real cgroup, whose alerts and stats
// come through pipe and file, and which drops load above its capacity.
func TestMeasureFalco(t *testing.T) {
	s, _ := newStand(t, "1000")
	description := s.Describe(context.Background())
	if diff := cmp.Diff("Falco 0.44.1", description.Name); diff != "" {
		t.Errorf("name (-want +got):\n%s", diff)
	}
	rows, err := measure(t, s, nil)
	check(t, err)
	row := rows[0]
	if !answered(row) || row.NDR.Lower > most || row.NDR.Lower < 600 {
		t.Errorf("%s at %+v, want confirmed about 1000", row.Status, row.NDR)
	}
	if row.Syscalls == 0 || row.EPS < 600 || row.EPS > most {
		t.Errorf("%v syscalls/s, %v EPS", row.Syscalls, row.EPS)
	}
	if !strings.Contains(row.Place, "peregrine-capacity-") {
		t.Errorf("measured in %q", row.Place)
	}
	if left := leftovers(t, s); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// The sensor is killed in the middle of a round: it comes back, the round is
// repeated, and the row is the same as without the kill.
func TestSensorKilledForReal(t *testing.T) {
	s, g := newStand(t, "1000")
	rounds := 0
	rows, err := measure(t, s, func(p sweep.Progress) {
		if p.Done == nil && p.Phase == capacity.Ramp {
			if rounds++; rounds == 2 {
				g.kill.Store(true)
			}
		}
	})
	check(t, err)
	row := rows[0]
	if !answered(row) || row.NDR.Lower < 600 || row.NDR.Lower > most {
		t.Errorf("%s at %+v after a kill", row.Status, row.NDR)
	}
	if !strings.Contains(strings.Join(row.Noisy, ";"), "from outside") {
		t.Errorf("the row does not tell of the kill: %q", row.Noisy)
	}
	if left := leftovers(t, s); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A generator that fails ends the run with its message, and everything is put
// back.
func TestGeneratorFails(t *testing.T) {
	s, g := newStand(t, "1000")
	_, err := measure(t, s, func(p sweep.Progress) {
		if p.Phase == capacity.Ramp {
			g.broken.Store(true)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "generator was killed") {
		t.Errorf("a generator that fails: %v", err)
	}
	if left := leftovers(t, s); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A running sensor: its limit is changed and put back, the sensor goes on.
func TestMeasureRunning(t *testing.T) {
	s, g := newStand(t, "1000")
	dir := t.TempDir()
	alerts := filepath.Join(dir, "alerts.json")
	out, err := os.Create(alerts)
	check(t, err)
	defer out.Close()
	stats := filepath.Join(dir, "stats.json")
	sensor := exec.Command(s.Program, "-o", "json_output=true", "-o", "stdout_output.enabled=true", "-o", "buffered_outputs=false",
		"-o", "append_output[]={match: {source: syscall}, extra_fields: [proc.pid, thread.tid]}",
		"-o", "metrics.enabled=true", "-o", "metrics.interval=1s", "-o", "metrics.output_file="+stats)
	sensor.Env, sensor.Stdout = os.Environ(), out
	check(t, sensor.Start())
	t.Cleanup(func() { _ = sensor.Process.Kill(); _ = sensor.Wait() })
	g.await(t)
	before, err := os.ReadFile(filepath.Join("/proc", itoa(sensor.Process.Pid), "cgroup"))
	check(t, err)

	running, err := New(t.Context(), Options{Kind: Running, PID: sensor.Process.Pid, Alerts: "file:" + alerts, Stats: stats, Actions: s.Actions,
		Dir: dir, JournalDir: s.JournalDir, Log: io.Discard, Generate: g.generate, Drain: s.Drain, Watch: s.Watch, Patience: s.Patience})
	check(t, err)
	rows, err := measure(t, running, nil)
	check(t, err)
	if row := rows[0]; !answered(row) || row.NDR.Lower < 600 || row.NDR.Lower > most {
		t.Errorf("%s at %+v", row.Status, row.NDR)
	}
	after, err := os.ReadFile(filepath.Join("/proc", itoa(sensor.Process.Pid), "cgroup"))
	check(t, err)
	if diff := cmp.Diff(string(before), string(after)); diff != "" {
		t.Errorf("the sensor's cgroups (-before +after):\n%s", diff)
	}
	if left := leftovers(t, s); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A recorded Falco under three limits, with its traps: it says that it is
// ready seconds before its first event, the longer the smaller the limit, and
// writes no metrics while nothing happens. Three rows, and nothing is forced.
func TestRecordedFalco(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	s, _ := newStand(t, "")
	check(t, os.Unsetenv(player.RateEnv)) // the recorded one's rate
	plan := quick()
	plan.Start = 2000
	plan.Ramp, plan.Bisect, plan.Confirm = time.Second, time.Second, 2*time.Second
	o := sweepOptions(s, plan)
	o.Limits = []capacity.Limit{{CPU: 0.25}, {CPU: 0.5}, {CPU: 1}}
	o.Total = 75 * time.Second
	rows, err := sweep.Run(context.Background(), o)
	check(t, err)
	// A row for which no time is left after the ramp is known to a doubling only,
	// and the ramp may fail a little below what Falco takes.
	const coarsest = 0.45
	took := []float64{5.1e3, 8.8e3, 18e3}
	for i, row := range rows[:3] { // smaller ones follow where the machine is the limit
		t.Logf("%s: %s, %.0f alerts/s, %s", row.Limit, row.Status, row.NDR.Lower, row.Factor.Name)
		if !answered(row) || row.NDR.Lower < took[i]*coarsest || row.NDR.Lower > took[i]*1.2 {
			t.Errorf("%s: %s at %+v, want about %.0f", row.Limit, row.Status, row.NDR, took[i])
		}
		if len(row.Trials) == 0 || row.Trials[0].Round.Sensor == nil {
			t.Errorf("%s: no statistics", row.Limit)
		}
	}
	if left := leftovers(t, s); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A Falco that exits after it has opened its source is not started again, and
// the error has its message.
func TestFalcoThatGivesUp(t *testing.T) {
	s, _ := newStand(t, "1000")
	t.Setenv(player.FailEnv, "1")
	o, err := s.Open(t.Context(), capacity.Limit{CPU: 1})
	check(t, err)
	err = o.Start(t.Context())
	if err == nil || errors.Is(err, sweep.ErrEnded) || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(err.Error(), "Initialization issues during scap_init") {
		t.Errorf("%v", err)
	}
	if err := errors.Join(o.Stop(t.Context()), o.Restore(t.Context())); err != nil {
		t.Error(err)
	}
	if left := leftovers(t, s); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A process that is no sensor is not limited.
func TestForeignProcess(t *testing.T) {
	s, _ := newStand(t, "1000")
	foreign := exec.Command("sleep", "60")
	check(t, foreign.Start())
	t.Cleanup(func() { _ = foreign.Process.Kill(); _ = foreign.Wait() })
	cgroups := filepath.Join("/proc", itoa(foreign.Process.Pid), "cgroup")
	before, err := os.ReadFile(cgroups)
	check(t, err)
	alerts := filepath.Join(t.TempDir(), "alerts")
	check(t, os.WriteFile(alerts, nil, 0o600))
	running, err := New(t.Context(), Options{Kind: Running, PID: foreign.Process.Pid, Alerts: "file:" + alerts, Actions: s.Actions, Dir: t.TempDir(), JournalDir: s.JournalDir, Log: io.Discard})
	check(t, err)
	var refused *sweep.PreflightError
	if _, err := running.Open(t.Context(), capacity.Limit{CPU: 1}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "--pid: process "+itoa(foreign.Process.Pid)+" (sleep) is not a sensor") {
		t.Errorf("a foreign process: %v", err)
	}
	after, err := os.ReadFile(cgroups)
	check(t, err)
	if diff := cmp.Diff(string(before), string(after)); diff != "" {
		t.Errorf("its cgroups (-before +after):\n%s", diff)
	}
	if left := leftovers(t, s); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Falcos of older releases start with flags that each understands, and work:
// their alerts leave at once, and name the thread.
func TestOlderFalcos(t *testing.T) {
	before := devices
	t.Cleanup(func() { devices = before })
	devices = filepath.Join(t.TempDir(), "falco*") // no kernel module, whatever this host has
	for _, release := range []string{"0.33.1", "0.34.1", "0.37.1", "0.39.0", "0.43.0"} {
		t.Run(release, func(t *testing.T) {
			t.Setenv(player.ReleaseEnv, release)
			s, _ := newStand(t, "1000")
			if got := s.Describe(t.Context()).Name; got != "Falco "+release {
				t.Errorf("named %q", got)
			}
			o, err := s.Open(t.Context(), capacity.Limit{CPU: 1})
			check(t, err)
			if err := o.Start(t.Context()); err != nil {
				t.Error(err)
			}
			if err := errors.Join(o.Stop(t.Context()), o.Restore(t.Context())); err != nil {
				t.Error(err)
			}
			if left := leftovers(t, s); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
