package run

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/test/support/capacitytest"
	"github.com/peregrine-sec/peregrine/test/support/leaks"

	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// No goroutine is left behind.
func TestMain(m *testing.M) { leaks.Main(m) }

func options(t *testing.T, rig *capacitytest.Rig) Options {
	return Options{
		Sensors: []Variant{{Stand: rig}}, JournalDir: filepath.Join(t.TempDir(), "journals"), CPUs: []float64{0.5, 1}, Memories: []int64{512 << 20},
		Load: capacity.AlertsOnly, Plan: capacity.QuickPlan(), Repeat: 1, Dir: t.TempDir(),
		Command: []string{"peregrine", "capacity", "run"}, Version: "test", Now: rig.Now,
		Say: func(format string, args ...any) { t.Logf(format, args...) },
	}
}

func TestLimits(t *testing.T) {
	limits, notes := Limits([]float64{0.5, 1, 2, 4}, []int64{512 << 20}, 2)
	want := []capacity.Limit{{CPU: 0.5, Memory: 512 << 20}, {CPU: 1, Memory: 512 << 20}, {CPU: 2, Memory: 512 << 20}}
	if diff := cmp.Diff(want, limits); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "4 CPU is more than this machine has") {
		t.Errorf("notes %q", notes)
	}
	if limits, _ := Limits([]float64{1}, []int64{1, 2}, 8); len(limits) != 2 {
		t.Errorf("two memories give %v", limits)
	}
}

func TestRun(t *testing.T) {
	o := options(t, capacitytest.New(capacitytest.Default()))
	o.Observed = filepath.Join(t.TempDir(), "production.json")
	query := `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"node":"a","class":"big"},"values":[[1,"20000"],[2,"60000"]]}]}}`
	if err := os.WriteFile(o.Observed, []byte(query), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Notes = []string{"the replay differs from the recording: so"}
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Partial || len(r.Rows) < 1 || r.Rows[0].Status != capacity.Confirmed || r.Recommendation == nil || len(r.Recommendation.Fleet) != 1 {
		t.Errorf("result %+v", r)
	}
	kept, err := Load(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, kept); diff != "" {
		t.Errorf("the result on disk differs (-returned +kept):\n%s", diff)
	}
	for _, name := range []string{"report.html", "report.md", "report.csv", "report.txt"} {
		if info, err := os.Stat(filepath.Join(o.Dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(o.Dir, "report.txt")); err != nil || !strings.Contains(string(text), "differs from the recording: so") {
		t.Errorf("a note is not in the report: %v\n%s", err, text)
	}
	if ok, why := Conclusive(r); !ok {
		t.Errorf("inconclusive: %s", why)
	}
}

// spiky is a workload of 10,000 reads per second, half of which come in one tenth
// of each second.
func spiky() *profile.Profile {
	b := profile.NewBuilder()
	for i := range 100 {
		calls := 5000. / 9
		if i%10 == 4 {
			calls = 5000
		}
		b.Add([]profile.Count{{Syscall: "read", Calls: calls}})
	}
	return b.Profile()
}

// under is a stand whose load has a profile's course.
func under(t *testing.T, p *profile.Profile, sensor capacitytest.Sensor) *capacitytest.Rig {
	t.Helper()
	o, _, err := generator.Replay(p, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	sensor.Course = make([]float64, len(o.Mix.Rates[0]))
	for _, rates := range o.Mix.Rates {
		for i, rate := range rates {
			sensor.Course[i] += rate / p.Rate
		}
	}
	return capacitytest.New(sensor)
}

// A workload that a sensor carries on average and not in its bursts is answered
// with the multiples of both, with the buffer that would carry the bursts as far,
// and with the limit that has the margin. With that buffer, it does.
func TestHeadroomOfBursts(t *testing.T) {
	p := spiky()
	measure := func(ring, margin float64) (capacity.Headroom, string) {
		sensor := capacitytest.Default()
		sensor.Ring, sensor.Idle, sensor.Burst = ring, 0, 0
		o := options(t, nil)
		o.Sensors = []Variant{{Name: capacity.Bursty(""), Stand: under(t, p, sensor)}, {Name: capacity.Steady(""), Stand: under(t, p.Flat(), sensor)}}
		o.Load = capacity.Load{Others: p.Rate, Workload: "node.json", Burst: p.Bursts.Tenth.Max / p.Rate}
		o.CPUs, o.Margin, o.Now = []float64{0.5, 1}, margin, o.Sensors[0].Stand.(*capacitytest.Rig).Now
		r, err := Run(t.Context(), o)
		if err != nil || len(r.Findings.Headroom) != 2 {
			t.Fatalf("%+v, %v", r, err)
		}
		return r.Findings.Headroom[1], r.Findings.Headline.Text
	}
	h, text := measure(10_000, 7) // (50,000 m - 300,000) 0.1 s are 10,000 at 8 times
	if h.Average == nil || math.Abs(h.Average.Times-30) > 3 || math.Abs(h.Bursts.Times-8) > 0.8 || h.Bursts.Factor != capacity.FactorRing {
		t.Errorf("bursts %+v, average %+v", h.Bursts, h.Average)
	}
	for _, want := range []string{"its bursts of 100 ms first at", "A ring buffer 16 times as large would carry the bursts as far (buf_size_preset: 8, if it is 4 now)",
		"The smallest limit that carries it 7 times, bursts included: 1 CPU"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
	if h, text := measure(h.Buffer*10_000, 20); h.Bursts.Times < 0.9*h.Average.Times || !strings.Contains(text, "20 times, bursts included: 1 CPU") {
		t.Errorf("with the advised buffer: %s", text)
	}
	if _, text := measure(10_000, 20); !strings.Contains(text, "20 times, bursts included: none that was measured") {
		t.Errorf("with the small buffer: %s", text)
	}
}

// An interrupted run leaves its rows and says that there are more to come.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	sensor := capacitytest.Default()
	sensor.Interrupt = func(round int) {
		if round == 16 {
			cancel()
		}
	}
	o := options(t, capacitytest.New(sensor))
	r, err := Run(ctx, o)
	if !errors.Is(err, context.Canceled) || !r.Partial {
		t.Errorf("interrupted: %v, partial %v", err, r.Partial)
	}
	kept, err := Load(o.Dir)
	if err != nil || !kept.Partial || len(kept.Rows) != len(r.Rows) {
		t.Errorf("on disk: %+v, %v", kept, err)
	}
	text, err := os.ReadFile(filepath.Join(o.Dir, "report.txt"))
	if err != nil || !strings.Contains(string(text), "did not come to its end") {
		t.Errorf("the report does not say so: %v\n%s", err, text)
	}
}

func TestBadObservedFileFailsFirst(t *testing.T) {
	rig := capacitytest.New(capacitytest.Default())
	o := options(t, rig)
	o.Observed = "/nonexistent/file"
	if _, err := Run(context.Background(), o); err == nil || rig.Started != 0 {
		t.Errorf("%v after %d starts", err, rig.Started)
	}
}

func TestConclusive(t *testing.T) {
	row := func(statuses ...capacity.Status) *capacity.Result {
		r := &capacity.Result{Sensors: []capacity.Sensor{{}}}
		for _, s := range statuses {
			r.Rows = append(r.Rows, capacity.Row{Status: s})
		}
		return r
	}
	two := row(capacity.Confirmed, capacity.AtLeast)
	two.Sensors = append(two.Sensors, capacity.Sensor{Variant: "other"})
	two.Rows[1].Sensor = "other"
	for want, results := range map[bool][]*capacity.Result{
		true:  {row(capacity.Confirmed), row(capacity.Confirmed, capacity.AtLeast)},
		false: {row(capacity.AtLeast), row(capacity.Confirmed, capacity.Unconfirmed), row(capacity.NoCapacity), row(), two},
	} {
		for _, r := range results {
			if got, why := Conclusive(r); got != want {
				t.Errorf("%+v: %v (%s), want %v", r.Rows, got, why, want)
			}
		}
	}
}

func TestConditions(t *testing.T) {
	o := options(t, capacitytest.New(capacitytest.Default()))
	o.CPUs = []float64{0.5}
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"syscalls<200k": true, "syscalls<100k": false, "ndr > 10k": true, "eps>=1M": false, "latency.p99>1us": true, "latency.p99>1s": false, "lost>0%": false,
	} {
		c, err := ParseCondition(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if found := Violated(r, []Condition{c}); len(found) > 0 != want {
			t.Errorf("%s: %v, want %v", text, found, want)
		}
	}
	for _, text := range []string{"syscalls", "speed<1", "ndr<", "ndr~5"} {
		if _, err := ParseCondition(text); err == nil {
			t.Errorf("%q was taken for a condition", text)
		}
	}
}

func ExampleLimits() {
	limits, notes := Limits([]float64{0.5, 8}, []int64{256 << 20}, 2)
	fmt.Println(limits, notes)
	// Output: [0.5 CPU, 256Mi 2 CPU, 256Mi] [8 CPU is more than this machine has: measured with 2]
}

// A full disk is reported once and counted; all rows are measured, and those
// not written are in the returned result.
func TestFullDisk(t *testing.T) {
	o := options(t, capacitytest.New(capacitytest.Default()))
	o.Dir = needs.SmallDisk(t, "4k")
	told := 0
	o.Say = func(format string, args ...any) {
		if strings.Contains(format, "cannot be kept") {
			told++
		}
	}
	r, err := Run(context.Background(), o)
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("error %v, want that there is no space", err)
	}
	if len(r.Rows) != 2 || r.Rows[1].Status != capacity.Confirmed || told != 1 || !strings.Contains(strings.Join(r.Notes, "; "), "could not be written to disk") {
		t.Errorf("%d rows, told %d times, notes %q", len(r.Rows), told, r.Notes)
	}
	if left, err := filepath.Glob(filepath.Join(o.Dir, "*.new")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Two sensors in one run: one table, one sentence to begin with.
func TestTwoSensors(t *testing.T) {
	slow := capacitytest.Default()
	slow.EventsPerCPU = 30e3
	fast, other := capacitytest.New(capacitytest.Default()), capacitytest.New(slow)
	o := options(t, fast)
	o.CPUs = []float64{0.5}
	o.Sensors = []Variant{{Name: "fast", Stand: fast}, {Name: "slow", Stand: other}}
	o.Now = func() time.Time { return fast.Clock.Add(other.Clock.Sub(other.Began())) }
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(o.Dir, "report.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings.Pairs) != 1 || !strings.Contains(string(text), "At 0.5 CPU fast takes") || !strings.Contains(string(text), "  Sensor  CPU") {
		t.Errorf("%+v\n%s", r.Findings.Pairs, text)
	}
	if len(r.Findings.Curves) != 2 || len(r.Findings.Costs) != 2 || r.Sensors[1].Variant != "slow" {
		t.Errorf("%d curves, %d costs, sensors %+v", len(r.Findings.Curves), len(r.Findings.Costs), r.Sensors)
	}
}

// A run beside one that is going on is refused, also with --force.
func TestBesideAnotherRun(t *testing.T) {
	o := options(t, capacitytest.New(capacitytest.Default()))
	o.Force = true
	if err := os.Mkdir(o.JournalDir, 0o700); err != nil {
		t.Fatal(err)
	}
	// The process that runs the tests plays the other run.
	start, err := procfs.Host.StartTime(os.Getppid())
	if err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	owner := fmt.Sprintf(`{"owner_pid":%d,"owner_start":%d,"boot":%q,"pid_namespace":%q}`+"\n", os.Getppid(), start, strings.TrimSpace(string(boot)), namespace)
	journal := filepath.Join(o.JournalDir, "other.journal")
	if err := os.WriteFile(journal, []byte(owner), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Run(context.Background(), o)
	var refused *sweep.PreflightError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "another capacity run is in progress") {
		t.Errorf("beside another run: %v", err)
	}
	// The command line asks before it makes the directory of the run.
	if err := Check(0, o.JournalDir); !errors.As(err, &refused) || !strings.Contains(err.Error(), "another capacity run is in progress") {
		t.Errorf("before a run: %v", err)
	}
	left, err := os.ReadDir(o.JournalDir)
	if err != nil || len(left) != 1 {
		t.Errorf("journals %v, %v; want the other run's alone", left, err)
	}
}

// A confirmed row whose interval is wider than requested is reported, with its
// width.
func TestWide(t *testing.T) {
	r := &capacity.Result{Method: capacity.Method{Plan: capacity.DefaultPlan()}}
	for _, b := range []capacity.Bound{{Lower: 96, Upper: 100}, {Lower: 95, Upper: 100}, {Lower: 91, Upper: 100}, {Lower: 50}} {
		r.Rows = append(r.Rows, capacity.Row{Limit: capacity.Limit{CPU: 0.5}, Status: capacity.Confirmed, NDR: b})
	}
	r.Rows = append(r.Rows, capacity.Row{Limit: capacity.Limit{CPU: 1}, Status: capacity.AtLeast, NDR: capacity.Bound{Lower: 50, Upper: 100}})
	got := wide(r)
	if len(got) != 1 || !strings.Contains(got[0], "0.5 CPU") || !strings.Contains(got[0], "known to 9 %, not to the 5 %") {
		t.Errorf("%q", got)
	}
}

// fingerprint says what other people need to judge a result by.
func TestFingerprint(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"proc/cpuinfo":              "processor\t: 0\nmodel name\t: A CPU\nflags\t\t: fpu hypervisor lm\n",
		"proc/meminfo":              "MemTotal:        8000 kB\nMemFree: 1 kB\n",
		"proc/loadavg":              "0.25 0.10 0.05 1/100 4242\n",
		"proc/sys/kernel/osrelease": "6.1.0\n",
		"proc/self/mountinfo": "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n" +
			"31 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n",
		"etc/os-release": "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n",
		"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor":            "powersave\n",
		"sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
	} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	hostname, _ := os.Hostname()
	want := capacity.Environment{
		Hostname: hostname, CPU: "A CPU", CPUs: runtime.NumCPU(), Memory: 8000 << 10, Kernel: "6.1.0", Arch: runtime.GOARCH,
		OS: "Debian GNU/Linux 12", Virtual: "virtual machine", Governor: "powersave", Clock: "tsc", Cgroup: "v1 and v2",
		LoadBefore: 0.25, Peregrine: "v1",
	}
	if diff := cmp.Diff(want, fingerprint(root, "v1")); diff != "" {
		t.Error(diff)
	}
	want = capacity.Environment{Hostname: hostname, CPUs: runtime.NumCPU(), Arch: runtime.GOARCH, Cgroup: "none"}
	if diff := cmp.Diff(want, fingerprint(t.TempDir(), "")); diff != "" {
		t.Error(diff)
	}
}

// The first line says which sensor it is, its version and its rules.
func TestUnderTest(t *testing.T) {
	for want, d := range map[string]capacity.Sensor{
		"the Peregrine sensor v1.2.3, rules default rules, embedded":     {Kind: "embedded", Name: "the Peregrine sensor", Rules: []string{"default rules, embedded"}},
		"Falco 0.44.1, rules of its configuration":                       {Kind: "falco", Name: "Falco 0.44.1"},
		"new (Falco 0.44.1), rules a.yaml b.yaml":                        {Kind: "falco", Variant: "new", Name: "Falco 0.44.1", Rules: []string{"a.yaml", "b.yaml"}},
		"Falco 0.40.0 (process 4711), rules /etc/falco/falco_rules.yaml": {Kind: "running", Name: "Falco 0.40.0 (process 4711)", Rules: []string{"/etc/falco/falco_rules.yaml"}},
	} {
		if got := underTest(d, "v1.2.3"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	var preflight *sweep.PreflightError
	if err := Check(1000, none); !errors.As(err, &preflight) || !strings.Contains(err.Error(), "sudo") {
		t.Errorf("a user: %v", err)
	}
	if err := Check(0, none); err != nil {
		t.Errorf("root: %v", err)
	}
}

// A sensor with little CPU takes minutes to start: they are not the search's.
func TestTimeFor(t *testing.T) {
	plan := capacity.QuickPlan()
	usual := plan.Budget + 20*time.Second
	for cpu, want := range map[float64]time.Duration{0: usual, 1: usual, 0.25: usual, 0.01: usual + 200*time.Second} {
		if got := timeFor([]capacity.Limit{{CPU: cpu}}, plan); got != want {
			t.Errorf("%g CPU: %v, want %v", cpu, got, want)
		}
	}
}
