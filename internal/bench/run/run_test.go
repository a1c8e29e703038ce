package run

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/classic"
	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/bench/report"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/eventlog"
	"github.com/peregrine-sec/peregrine/test/support/benchtest"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// against is a run of three rates against f.
func against(t *testing.T, f *benchtest.Fake) Options {
	t.Helper()
	actions, err := action.Select("ReadSensitiveFileUntrusted|ClearLogActivities", false)
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Bench: bench.Options{Target: f, Actions: actions, Generate: f.Generate, Drain: time.Millisecond, Linger: time.Millisecond},
		Rates: []float64{500, 1000, 2000}, Duration: 5 * time.Second, Command: []string{"peregrine", "bench"},
	}
}

func conditions(t *testing.T, texts ...string) (list []bench.Condition) {
	t.Helper()
	for _, text := range texts {
		c, err := bench.ParseCondition(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

func TestCleanRun(t *testing.T) {
	o := against(t, benchtest.New())
	dir := filepath.Join(t.TempDir(), "run")
	var err error
	if o.Directory, err = report.NewDirectory(dir); err != nil {
		t.Fatal(err)
	}
	o.Conditions = conditions(t, "lost>0", "latency.p99>2ms")
	o.Notes = []string{"the replay differs from the recording: so"}
	var done []int
	o.Done = func(r *bench.Round) { done = append(done, r.Number) }
	run, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{1, 2, 3}, done); diff != "" {
		t.Errorf("rounds told: %s", diff)
	}
	if diff := cmp.Diff(o.Notes, run.Notes); diff != "" {
		t.Errorf("notes: %s", diff)
	}
	if len(run.Rounds) != 3 || run.Rounds[2].Rate.Offered != 2000 || run.Ceiling == nil || run.Partial {
		t.Errorf("%+v", run)
	}
	if conclusion, why := Conclude(run); conclusion != Passed || why != "" {
		t.Errorf("conclusion %v, %s", conclusion, why)
	}
	back, err := report.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(run.Rounds, back.Rounds); diff != "" {
		t.Errorf("run.json: %s", diff)
	}
	for name, lines := range map[string]int{"rounds.jsonl": 3, "instances.jsonl": 17500, "strays.jsonl": 0} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || strings.Count(string(text), "\n") != lines {
			t.Errorf("%s: %d lines, %v; want %d", name, strings.Count(string(text), "\n"), err, lines)
		}
	}
	if _, err := report.NewDirectory(dir); err == nil {
		t.Error("a run was overwritten")
	}
}

func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name       string
		change     func(*benchtest.Fake)
		conditions []string
		want       Conclusion
		why        string
	}{
		{"lost", func(f *benchtest.Fake) {
			f.React = func(n int, rule string, in generator.Instance) []intake.Alert {
				if n%100 == 0 {
					return nil
				}
				return []intake.Alert{benchtest.AlertOf(rule, in)}
			}
		}, []string{"lost>0.1%"}, Violated, "lost>0.1% in round 1 2 3"},
		{"generator is the limit", func(f *benchtest.Fake) { f.Ceiling = 1500 }, nil, Inconclusive, "round 3: the generator"},
		{"not known", nil, []string{"cpu>1"}, Inconclusive, "no round can tell"},
		{"violation before limit", func(f *benchtest.Fake) { f.Ceiling = 1500 }, []string{"offered<2k"}, Violated, "offered<2k"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := benchtest.New()
			if tt.change != nil {
				tt.change(f)
			}
			o := against(t, f)
			o.Conditions = conditions(t, tt.conditions...)
			run, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if conclusion, why := Conclude(run); conclusion != tt.want || !strings.Contains(why, tt.why) {
				t.Errorf("%v, %q; want %v, %q", conclusion, why, tt.want, tt.why)
			}
		})
	}
}

// TestSlowlyLimited: each round stays above 95 % of nothing to compare with,
// but the offered rate does not grow.
func TestSlowlyLimited(t *testing.T) {
	c := &measurement{run: &report.Run{}}
	for i, offered := range []float64{1017.4, 1072.2, 968.4} {
		c.run.Rounds = append(c.run.Rounds, bench.Round{Rate: bench.Rate{Target: 1000 * float64(int(1)<<i), Offered: offered}})
	}
	c.limited()
	if last := &c.run.Rounds[2]; !last.Has(bench.GeneratorLimited) || len(last.Findings) != 1 {
		t.Errorf("%+v", last)
	}
}

func TestPreflightFails(t *testing.T) {
	f := benchtest.New()
	o := against(t, f)
	f.Act = func(_ int, in *generator.Instance) { in.Errno = 13 }
	o.Idle = time.Millisecond
	var said []string
	o.Say = func(format string, _ ...any) { said = append(said, format) }
	run, err := Run(t.Context(), o)
	var preflight *PreflightError
	if !errors.As(err, &preflight) || !strings.Contains(err.Error(), "permission denied") || len(run.Rounds) != 0 || !run.Partial {
		t.Errorf("%v, %d rounds", err, len(run.Rounds))
	}
	o.Force = true
	if run, err = Run(t.Context(), o); err != nil || len(run.Rounds) != 3 {
		t.Errorf("forced: %v, %d rounds", err, len(run.Rounds))
	}
	if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, "%s: %s: %s") }) {
		t.Errorf("said %q, want the forced checks", said)
	}
}

// Actions on a Kubernetes cluster are refused, in the words of the method
// document, before anything starts.
func TestClusterActionsAreRefused(t *testing.T) {
	o := against(t, benchtest.New())
	var err error
	if o.Bench.Actions, err = action.Select("k8saudit", true); err != nil || len(o.Bench.Actions) != 13 {
		t.Fatalf("%d actions, %v", len(o.Bench.Actions), err)
	}
	run, err := Run(t.Context(), o)
	var preflight *PreflightError
	if !errors.As(err, &preflight) || len(preflight.Checks) != 13 || len(run.Rounds) != 0 ||
		!strings.Contains(err.Error(), "not supposed to work here, since they need some time to create Kubernetes resources") {
		t.Errorf("%v, %d rounds", err, len(run.Rounds))
	}
}

func TestInterruptedIsPartial(t *testing.T) {
	f := benchtest.New()
	ctx, cancel := context.WithCancel(t.Context())
	rounds := 0
	o := against(t, f)
	o.Bench.Generate = func(ctx context.Context, g generator.Options) (*generator.Result, error) {
		if rounds++; rounds == 3 { // the ceiling is the first
			cancel()
		}
		return f.Generate(ctx, g)
	}
	run, err := Run(ctx, o)
	if !errors.Is(err, context.Canceled) || len(run.Rounds) != 2 || !run.Partial || !run.Rounds[1].Partial {
		t.Errorf("%v, %d rounds", err, len(run.Rounds))
	}
}

func TestClassic(t *testing.T) {
	f := benchtest.New()
	f.Ceiling = 100
	o := against(t, f)
	var out strings.Builder
	o.Log = &eventlog.Logger{Out: &out}
	o.Classic = &classic.Options{Sleep: time.Millisecond, RoundDuration: time.Second, Loop: true, Humanize: true, Rounds: 1}
	run, err := Run(t.Context(), o)
	if err != nil || len(run.Rounds) != 1 || run.Ceiling != nil {
		t.Fatal(run, err)
	}
	if !strings.Contains(out.String(), "INFO syscall.ReadSensitiveFileUntrusted            actual=50 expected=50 ratio=1\n") ||
		!strings.Contains(out.String(), `lost="0%" throughput="100.0 EPS"`) {
		t.Error(out.String())
	}
}
