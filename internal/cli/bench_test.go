package cli

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/report"
	"github.com/peregrine-sec/peregrine/internal/bench/syscalls"
	"github.com/peregrine-sec/peregrine/internal/version"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// runBench runs a command line in this process.
func runBench(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut lockedBuffer
	code = Main(Env{Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut,
		Getenv: func(string) string { return "" }, Context: t.Context()})
	return code, out.String(), errOut.String()
}

func TestBenchUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{}, "expected one regular expression"},
		{[]string{"A", "B"}, "expected one regular expression"},
		{[]string{"NoSuchAction"}, "no events matching"},
		{[]string{"WriteBelowBinaryDir"}, "--all"},
		{[]string{"("}, "missing closing"},
		{[]string{"ReadSensitive", "--rate", "fast"}, "expected a number"},
		{[]string{"ReadSensitive", "--rate", "1k", "--loop"}, "--rate and --loop are mutually exclusive"},
		{[]string{"ReadSensitive", "--rate", "1k", "--rounds", "2"}, "--rate and --rounds are mutually exclusive"},
		{[]string{"ReadSensitive", "--rate", "1k", "--humanize=false"}, "--rate and --humanize are mutually exclusive"},
		{[]string{"ReadSensitive", "--noise", "1k"}, "--noise needs --rate"},
		{[]string{"ReadSensitive", "--rest", "0s"}, "--rest needs --rate"},
		{[]string{"ReadSensitive", "--idle", "1s"}, "--idle needs --rate"},
		{[]string{"ReadSensitive", "--format", "json"}, "--format needs --rate"},
		{[]string{"ReadSensitive", "--no-preflight"}, "--no-preflight needs --rate"},
		{[]string{"ReadSensitive", "--rate", "1k", "--fail-if", "lost"}, "expected a metric"},
		{[]string{"ReadSensitive", "--rate", "1k", "--format", "pdf"}, "expected text, json, csv, markdown or html"},
		{[]string{"ReadSensitive", "--round-duration", "50ms"}, "--round-duration must be longer than --sleep"},
		{[]string{"ReadSensitive", "--rate", "1k", "--alerts", "pigeon"}, "expected grpc, grpc:PATH"},
		{[]string{"ReadSensitive", "--rate", "1k", "--alerts", "stdin", "--pid", "no such process"}, "no process has this name"},
		{[]string{"ReadSensitive", "--rate", "1k", "--alerts", "stdin", "--pid", "999999999"}, "no such process"},
		{[]string{"ReadSensitive", "--rate", "1k", "--alerts", "stdin", "--pid", strconv.Itoa(os.Getpid())}, "is not a sensor"},
		{[]string{"ReadSensitive", "--rate", "1k", "--sensor", "embedded", "--pid", "1"}, "--pid is for a sensor that is already running"},
		{[]string{"ReadSensitive", "--nonsense"}, "unknown flag"},
	} {
		code, _, stderr := runBench(t, append([]string{"bench", "--out", "none"}, tt.args...)...)
		if code != ExitUsage || !strings.Contains(stderr, tt.want) {
			t.Errorf("bench %q: exit %d, %q; want %d with %q", tt.args, code, stderr, ExitUsage, tt.want)
		}
	}
	if code, _, stderr := runBench(t, "overhead", "--sensor", "running"); code != ExitUsage || !strings.Contains(stderr, "must start and stop the sensor itself") {
		t.Errorf("overhead: exit %d, %q", code, stderr)
	}
}

// The sub-commands replace the old spellings, which still work.
func TestBenchReportAndCompare(t *testing.T) {
	dirs := [2]string{t.TempDir(), t.TempDir()}
	for i, dir := range dirs {
		run := report.Run{Schema: bench.RoundSchema, Rounds: []bench.Round{{Number: 1, Rate: bench.Rate{Target: 1234},
			Loss: bench.Loss{Of: 5000, Lower: 0.01 * float64(i), Upper: 0.001 + 0.02*float64(i)}}}}
		file, err := os.Create(filepath.Join(dir, "run.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(run.Write(file, "json"), file.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"report", dirs[0], "--format", "csv"}, ExitOK, "1,1234"},
		{[]string{"report", dirs[0], "--format", "pdf"}, ExitUsage, "expected text, json, csv, markdown or html"},
		{[]string{"report"}, ExitUsage, "expected 1"},
		{[]string{"--from", dirs[0], "--format", "csv"}, ExitOK, "1,1234"},
		{[]string{"run", "NoSuchAction"}, ExitUsage, "no events matching"},
		{[]string{"compare", dirs[0], dirs[1]}, ExitThreshold, "worse"},
		{[]string{"compare", dirs[1], dirs[0]}, ExitOK, "better"},
		{[]string{"compare", dirs[0], dirs[0]}, ExitOK, "same"},
		{[]string{"run", "ReadSensitive", "--rate", "1k", "--noise", "many"}, ExitUsage, "2.5k"},
	} {
		code, stdout, stderr := runBench(t, append([]string{"bench"}, tt.args...)...)
		if code != tt.code || !strings.Contains(stdout+stderr, tt.want) {
			t.Errorf("bench %q: exit %d, want %d with %q\n%s%s", tt.args, code, tt.code, tt.want, stdout, stderr)
		}
	}
	file := filepath.Join(t.TempDir(), "report.csv")
	code, stdout, stderr := runBench(t, "bench", "report", dirs[0], "--format", "csv", "--out", file)
	if text, err := os.ReadFile(file); code != ExitOK || stdout != "" || err != nil || !strings.Contains(string(text), "1,1234") {
		t.Errorf("to a file: exit %d, %q, %q, %v, %q", code, stdout, stderr, err, text)
	}
}

// As event-generator: --pid alone means the sensor that runs, at its default
// socket, never a sensor of this binary.
func TestBenchPIDMeansTheRunningSensor(t *testing.T) {
	for _, tt := range []struct {
		args           []string
		sensor, alerts string
	}{
		{[]string{"A", "--loop", "--pid", "1"}, "running", "grpc"},
		{[]string{"A", "--loop", "--pid", "1", "--alerts", "http"}, "running", "http"},
		{[]string{"A", "--loop", "--pid", "1", "--http-server-address", "localhost:1"}, "running", "http"},
		{[]string{"A", "--loop", "--grpc-hostname", "node"}, "running", "grpc"},
		{[]string{"A", "--loop", "--sensor", "embedded", "--pid", "1"}, "embedded", ""},
		{[]string{"A", "--loop"}, "embedded", ""},
	} {
		s := &sensorFlags{}
		cmd := &cobra.Command{}
		s.add(cmd.Flags())
		cmd.Flags().Bool("loop", false, "")
		if err := cmd.ParseFlags(tt.args); err != nil {
			t.Fatal(err)
		}
		if s.imply(cmd); s.sensor != tt.sensor || s.alerts != tt.alerts {
			t.Errorf("%q means sensor %s, alerts %q; want %s, %q", tt.args, s.sensor, s.alerts, tt.sensor, tt.alerts)
		}
	}
}

func TestVersion(t *testing.T) {
	want := "Peregrine " + version.Version() + "\n"
	for _, args := range [][]string{{"--version"}, {"version"}} {
		if code, stdout, _ := runBench(t, args...); code != ExitOK || stdout != want {
			t.Errorf("%q: exit %d, %q", args, code, stdout)
		}
	}
}

// Actions that a regular expression matches but that are left out are reported.
func TestLeftOutIsSaid(t *testing.T) {
	_, _, stderr := runBench(t, "generate", "plan", "ChangeThreadNamespace|ReadSensitiveFileUntrusted|WriteBelowBinaryDir")
	for _, want := range []string{"syscall.ChangeThreadNamespace", "syscall.WriteBelowBinaryDir", "--all"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q lacks %s", stderr, want)
		}
	}
}

func TestBenchShowsAnOldRun(t *testing.T) {
	dir := t.TempDir()
	run := report.Run{Schema: bench.RoundSchema, Rounds: []bench.Round{{Number: 1, Rate: bench.Rate{Target: 1234}, Loss: bench.Loss{Lost: 1, Of: 100, Share: 0.01}}}}
	file, err := os.Create(filepath.Join(dir, "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Write(file, "json"); err != nil {
		t.Fatal(err)
	}
	file.Close()
	if code, stdout, stderr := runBench(t, "bench", "--from", dir, "--format", "markdown"); code != ExitOK || !strings.Contains(stdout, "1234") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	if code, _, stderr := runBench(t, "bench", "--from", dir, "--fail-if", "lost>0.1%"); code != ExitThreshold || !strings.Contains(stderr, "lost>0.1% in round 1") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if code, _, stderr := runBench(t, "bench", "--from", dir, "--fail-if", "drops>0"); code != ExitInconclusive || !strings.Contains(stderr, "no round can tell") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if code, _, _ := runBench(t, "bench", "--from", dir+"/none"); code != ExitFailure {
		t.Errorf("exit %d without a run", code)
	}
}

func TestBenchHelpHasExamples(t *testing.T) {
	for _, command := range []string{"bench", "overhead"} {
		code, stdout, _ := runBench(t, command, "--help")
		if code != ExitOK || !strings.Contains(stdout, "Examples:\n  ") || !strings.Contains(stdout, "peregrine "+command) {
			t.Errorf("%s --help: exit %d, %q", command, code, stdout)
		}
	}
}

func TestFindProcess(t *testing.T) {
	proc := t.TempDir()
	for pid, name := range map[string]string{"10": "falco", "20": "twin", "30": "twin"} {
		if err := os.MkdirAll(filepath.Join(proc, pid), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "comm"), []byte(name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for s, want := range map[string]int{"20": 20, "0": 0, "falco": 10} {
		if pid, err := findProcess(proc, s); err != nil || pid != want {
			t.Errorf("findProcess(%q) = %d, %v; want %d", s, pid, err, want)
		}
	}
	for _, s := range []string{"twin", "none", "7"} {
		if pid, err := findProcess(proc, s); err == nil {
			t.Errorf("findProcess(%q) = %d, want an error", s, pid)
		}
	}
}

// needBPF skips without the privileges for a sensor, unless they are required.
func needBPF(t *testing.T) {
	t.Helper()
	c, err := syscalls.Attach(false)
	if err == nil {
		err = c.Close()
	}
	needs.That(t, "eBPF", err)
	t.Setenv("PEREGRINE_TEST_MAIN", "1")
}

// embedded runs bench against our sensor and returns the result. Others may
// load this host: the preflight is forced, and figures are checked for sense,
// not for size.
func embedded(t *testing.T, args ...string) *report.Run {
	t.Helper()
	needBPF(t)
	dir := filepath.Join(t.TempDir(), "run")
	all := append([]string{"bench", "ReadSensitiveFileUntrusted|DirectoryTraversalMonitoredFileRead|ClearLogActivities",
		"--force", "--idle", "600ms", "--round-duration", "1500ms", "--format", "json", "--out", dir}, args...)
	code, stdout, stderr := runBench(t, all...)
	if code != ExitOK && code != ExitInconclusive { // a busy host limits the generator
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var run report.Run
	if err := json.Unmarshal([]byte(stdout), &run); err != nil {
		t.Fatal(err)
	}
	if _, err := report.Read(dir); err != nil {
		t.Error(err)
	}
	for _, r := range run.Rounds {
		account(t, &r)
	}
	return &run
}

// account checks that a round accounts for every action and alert.
func account(t *testing.T, r *bench.Round) {
	t.Helper()
	started := 0
	for _, a := range r.Actions {
		started += a.Started
		if a.OK != a.Matched+a.Late+a.Lost || a.Started != a.OK+a.Failed+a.Skipped || a.OK == 0 {
			t.Errorf("%s: %+v does not add up", a.Name, a.Score)
		}
	}
	if started != r.Total.Started || len(r.Actions) != 3 {
		t.Errorf("%d actions started, total %+v", started, r.Total)
	}
	a := r.Alerts
	if sum := a.Matched + a.Duplicate + a.Foreign + a.Earlier + a.Failed + a.Other; sum != a.Received {
		t.Errorf("alerts %+v do not add up", a)
	}
	if s := r.Sensor; s == nil || s.Events == 0 || !s.Detailed {
		t.Errorf("sensor %+v: want stats", s)
	}
	if u := r.Usage; u == nil || u.RSSPeak == 0 || u.CPU <= 0 {
		t.Errorf("usage %+v", u)
	}
}

func TestBenchOurSensor(t *testing.T) {
	run := embedded(t, "--rate", "200,400")
	if len(run.Rounds) != 2 || run.Calibration == nil || run.Preflight == nil {
		t.Fatalf("%d rounds", len(run.Rounds))
	}
	for _, r := range run.Rounds {
		s := r.Sensor
		if r.Total.Lost > 0 && s.Drops == 0 && s.OutputsDropped == 0 && s.Throttled == 0 {
			t.Errorf("round %d: %d alerts lost at an unknown place: %+v", r.Number, r.Total.Lost, s)
		}
	}
}

func TestBenchThrottledSensor(t *testing.T) {
	run := embedded(t, "--rate", "400", "--no-preflight", "--", "-o", "outputs.rate=20", "-o", "outputs.max_burst=20")
	r := run.Rounds[0]
	if !r.Has(bench.Throttled) || r.Sensor.Throttled == 0 || r.Total.Lost == 0 {
		t.Errorf("flags %v, sensor %+v, total %+v", r.Flags, r.Sensor, r.Total)
	}
	if !slices.ContainsFunc(r.Findings, func(f bench.Finding) bool { return f.Code == "throttled" }) {
		t.Errorf("findings %+v do not say so", r.Findings)
	}
}

func TestBenchDryRun(t *testing.T) {
	needBPF(t) // the generator's sandbox needs as much
	code, _, stderr := runBench(t, "bench", "ReadSensitiveFileUntrusted", "--dry-run", "--rounds", "1", "--sleep", "1ms", "--round-duration", "100ms")
	if code != ExitOK || !strings.Contains(stderr, "dry-run=true sleep=1ms") || strings.Contains(stderr, "lost=") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

func TestBenchInterrupted(t *testing.T) {
	needBPF(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errOut lockedBuffer
	code := Main(Env{Args: []string{"bench", "ReadSensitiveFileUntrusted", "--rate", "100", "--out", "none"}, Stdin: strings.NewReader(""),
		Stdout: &out, Stderr: &errOut, Getenv: func(string) string { return "" }, Context: ctx})
	if code != ExitInterrupted {
		t.Errorf("exit %d: %s", code, errOut.String())
	}
}

func TestBenchWrongSensor(t *testing.T) {
	needBPF(t)
	code, _, stderr := runBench(t, "bench", "ReadSensitiveFileUntrusted", "--rate", "100", "--out", "none", "--idle", "10ms", "--sensor", "sleep 1000")
	if code != ExitPreflight || !strings.Contains(stderr, "no alert of any rule has ever arrived") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}
