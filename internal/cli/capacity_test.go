package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/run"
)

func TestCapacityUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"run", "--cpu", "fast"}, "expected a number above 0"},
		{[]string{"run", "--memory", "much"}, "expected a size"},
		{[]string{"run", "--load", "heavy"}, "expected alerts, noise or a mix"},
		{[]string{"run", "--format", "html"}, "expected text, markdown, csv or json"},
		{[]string{"run", "--fail-if", "beauty<1"}, "unknown metric"},
		{[]string{"run", "--actions", "NoSuchAction"}, "no events matching"},
		{[]string{"run", "--sensor", "falco", "--pid", "1"}, "give one of them"},
		{[]string{"run", "--pid", "no such process"}, "no process has this name"},
		{[]string{"run", "--pid", "1"}, "--alerts is missing"},
		{[]string{"run", "--pid", "999999999"}, "no such process"},
		{[]string{"run", "surplus"}, "flags for the sensor come after --"},
		{[]string{"report"}, "expected 1"},
		{[]string{"compare", "one"}, "expected 2"},
		{[]string{"analyze"}, "give --stats, --log or both"},
		{[]string{"restore", "--nonsense"}, "unknown flag"},
	} {
		code, _, stderr := execute(t, nil, append([]string{"capacity"}, tt.args...)...)
		if code != ExitUsage || !strings.Contains(stderr, tt.want) {
			t.Errorf("capacity %q: exit %d, %q; want %d with %q", tt.args, code, stderr, ExitUsage, tt.want)
		}
	}
}

// Without a Falco, a run ends before it has made anything, with an error that
// says what to do.
func TestCapacityNoFalco(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	code, _, stderr := execute(t, nil, "capacity", "run", "--sensor", "falco", "--falco", "/no/such/falco", "--out", dir)
	if code != ExitPreflight || !strings.Contains(stderr, "no Falco at /no/such/falco") || !strings.Contains(stderr, "--falco FILE") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a directory was made for a run that never began")
	}
}

func TestCapacityHelpHasExamples(t *testing.T) {
	for _, command := range []string{"run", "report", "compare", "analyze"} {
		code, stdout, _ := execute(t, nil, "capacity", command, "--help")
		if code != ExitOK || !strings.Contains(stdout, "peregrine capacity "+command) || !strings.Contains(stdout, "Examples:") {
			t.Errorf("capacity %s --help: exit %d, %q", command, code, stdout)
		}
	}
}

var fixedTime = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// runOf keeps a run with one row for each rate.
func runOf(t *testing.T, rates ...float64) string {
	t.Helper()
	dir, err := run.Create(filepath.Join(t.TempDir(), "run"), fixedTime)
	if err != nil {
		t.Fatal(err)
	}
	r := &capacity.Result{Schema: capacity.Schema, Started: fixedTime, Ended: fixedTime, Sensors: []capacity.Sensor{{Name: "a sensor"}}}
	for i, rate := range rates {
		r.Rows = append(r.Rows, capacity.Row{Limit: capacity.Limit{CPU: 1, Memory: 512 << 20}, Repeat: i + 1, Status: capacity.Confirmed,
			Syscalls: rate, NDR: capacity.Bound{Lower: rate, Upper: rate * 1.05}, Clean: -1, Failed: -1})
	}
	if err := run.Save(dir, r); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCapacityReport(t *testing.T) {
	dir := runOf(t, 123456)
	for format, want := range map[string]string{"text": "120K", "markdown": "| 120K |", "csv": "123456", "json": `"syscalls_per_second": 123456`, "html": "<!DOCTYPE html>"} {
		code, stdout, stderr := execute(t, nil, "capacity", "report", dir, "--format", format)
		if code != ExitOK || !strings.Contains(stdout, want) {
			t.Errorf("%s: exit %d, %s, no %q in\n%.400s", format, code, stderr, want, stdout)
		}
	}
	file := filepath.Join(t.TempDir(), "june.html")
	if code, stdout, stderr := execute(t, nil, "capacity", "report", dir, "--format", "html", "--out", file); code != ExitOK || stdout != "" {
		t.Errorf("to a file: exit %d, %q, %q", code, stdout, stderr)
	}
	// A failure does not change the file.
	if code, _, _ := execute(t, nil, "capacity", "report", dir, "--format", "pdf", "--out", file); code != ExitUsage {
		t.Errorf("pdf to a file: exit %d", code)
	}
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "<!DOCTYPE html>") {
		t.Errorf("%v, %.100s", err, text)
	}
	if code, _, stderr := execute(t, nil, "capacity", "report", dir, "--out", filepath.Join(file, "below")); code != ExitFailure || !strings.Contains(stderr, "--out") {
		t.Errorf("to a place that cannot be: exit %d, %q", code, stderr)
	}
	if code, _, stderr := execute(t, nil, "capacity", "report", dir, "--format", "pdf"); code != ExitUsage {
		t.Errorf("pdf: exit %d, %s", code, stderr)
	}
	if code, _, stderr := execute(t, nil, "capacity", "report", t.TempDir()); code != ExitFailure || !strings.Contains(stderr, "result.json") {
		t.Errorf("no run: exit %d, %s", code, stderr)
	}
}

func TestCapacityCompare(t *testing.T) {
	a := runOf(t, 100, 101, 102, 103)
	for want, b := range map[int]string{
		ExitOK:           runOf(t, 100, 101, 103, 104),
		ExitThreshold:    runOf(t, 70, 71, 72, 73),
		ExitInconclusive: runOf(t, 60, 95, 120, 180),
	} {
		code, stdout, stderr := execute(t, nil, "capacity", "compare", a, b)
		if code != want {
			t.Errorf("exit %d, want %d: %s%s", code, want, stdout, stderr)
		}
	}
}

func TestCapacityAnalyze(t *testing.T) {
	data := "../capacity/method/testdata/"
	code, stdout, stderr := execute(t, nil, "capacity", "analyze", "--stats", data+"stats-1.txt", "--log", data+"limit.log", "--cpu", "1", "--memory", "512Mi")
	if code != ExitOK || !strings.Contains(stdout, "Syscalls/s 365098.75 (pre-drop plateau)   EPS 8674.2") {
		t.Errorf("exit %d, %s\n%s", code, stderr, stdout)
	}
	if code, _, stderr := execute(t, nil, "capacity", "analyze", "--log", data+"stats-1.txt"); code != ExitFailure || !strings.Contains(stderr, "stats-1.txt: no line of the form") {
		t.Errorf("an invalid log: exit %d, %s", code, stderr)
	}
}

func TestCapacityRestore(t *testing.T) {
	dir := t.TempDir()
	code, stdout, _ := execute(t, nil, "capacity", "restore", "--journal-dir", dir)
	if code != ExitOK || !strings.Contains(stdout, "nothing to restore") {
		t.Errorf("exit %d, %q", code, stdout)
	}
	journal := filepath.Join(dir, "1.journal")
	if err := os.WriteFile(journal, []byte(`{"owner_pid":999999999,"owner_start":1}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, _ = execute(t, nil, "capacity", "restore", "--journal-dir", dir)
	if code != ExitOK || !strings.Contains(stdout, "pid 999999999") {
		t.Errorf("exit %d, %q", code, stdout)
	}
}

// A whole run with our own sensor as a child in a real cgroup. The figures of
// the row depend on the load of the machine; that it has some, leaves its data
// and restores everything does not.
func TestCapacityRunOurSensor(t *testing.T) {
	needBPF(t)
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	dir := filepath.Join(t.TempDir(), "run")
	code, stdout, stderr := execute(t, nil, "capacity", "run", "--quick", "--cpu", "0.5", "--confirm", "1s", "--precision", "0.5", "--start-rate", "8000",
		"--max-duration", "20s", "--force", "--out", dir)
	if code != ExitOK && code != ExitInconclusive {
		t.Fatalf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	r, err := run.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 1 || len(r.Rows[0].Trials) == 0 || r.Rows[0].Factor.Name == "" || !strings.Contains(r.Rows[0].Place, "peregrine-capacity-") {
		text, _ := json.Marshal(r.Rows)
		t.Errorf("rows %.600s", text)
	}
	if !strings.Contains(stdout, "CPU  Memory  Syscalls/s") || !strings.Contains(stderr, "ramp") {
		t.Errorf("no table or no progress:\n%s\n%s", stdout, stderr)
	}
	left, err := filepath.Glob(fmt.Sprintf("/sys/fs/cgroup/*/peregrine-capacity-%d", os.Getpid()))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// Ctrl-C before the first round is over: exit code 130, nothing left behind.
func TestCapacityInterrupted(t *testing.T) {
	needBPF(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errOut strings.Builder
	code := Main(Env{Args: []string{"capacity", "run", "--quick", "--out", filepath.Join(t.TempDir(), "run")}, Stdin: strings.NewReader(""),
		Stdout: &out, Stderr: &errOut, Getenv: func(string) string { return "" }, Context: ctx})
	if code != ExitInterrupted || !strings.Contains(errOut.String(), "interrupted") {
		t.Errorf("exit %d\n%s\n%s", code, out.String(), errOut.String())
	}
}

// The command that a report gives for a repeat makes a new directory.
func TestWithoutOut(t *testing.T) {
	for args, want := range map[string]string{
		"capacity run":                                 "capacity run",
		"capacity run --out a --cpu 1":                 "capacity run --cpu 1",
		"capacity run --out=a -q":                      "capacity run -q",
		"capacity run -o a --cpu 1":                    "capacity run --cpu 1",
		"capacity run -oa":                             "capacity run",
		"capacity run --out a -- -o json_output=false": "capacity run -- -o json_output=false",
		"capacity run --out":                           "capacity run",
	} {
		if got := strings.Join(withoutOut(strings.Fields(args)), " "); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}
