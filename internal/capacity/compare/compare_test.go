package compare

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/sample"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func runs(rates ...float64) []capacity.Result {
	r := capacity.Result{Sensors: []capacity.Sensor{{Name: "a sensor"}}, Environment: capacity.Environment{CPUs: 2}, Method: capacity.Method{Load: capacity.AlertsOnly}}
	for _, rate := range rates {
		r.Rows = append(r.Rows, capacity.Row{Limit: capacity.Limit{CPU: 1}, Status: capacity.Confirmed, Syscalls: 4 * rate,
			NDR: capacity.Bound{Lower: rate, Upper: rate * 1.05}, Trials: trials(rate, rate*1.2, rate*1.1, rate*1.05)})
	}
	return []capacity.Result{r}
}

// trials are a pass, and failures.
func trials(pass float64, fails ...float64) []capacity.Trial {
	all := []capacity.Trial{{Verdict: capacity.Verdict{Clean: true, Offered: pass}}}
	for _, rate := range fails {
		all = append(all, capacity.Trial{Verdict: capacity.Verdict{Offered: rate}})
	}
	return all
}

// spoil changes every row of a run.
func spoil(r []capacity.Result, change func(*capacity.Result, *capacity.Row)) []capacity.Result {
	for i := range r[0].Rows {
		change(&r[0], &r[0].Rows[i])
	}
	return r
}

func TestCompare(t *testing.T) {
	base := runs(100, 101, 102, 103, 104)
	worse := []float64{80, 81, 82, 83, 84}
	for name, test := range map[string]struct {
		b    []capacity.Result
		want sample.Change
		why  string
	}{
		"same":                       {runs(100, 101, 102, 103, 104), sample.Same, ""},
		"better":                     {runs(120, 121, 122, 123, 124), sample.Better, ""},
		"worse":                      {runs(worse...), sample.Worse, ""},
		"noisy":                      {runs(50, 90, 112, 140, 180), sample.Unsure, "differ as much"},
		"slightly":                   {runs(104, 105, 105.5, 106, 107), sample.Same, ""},
		"one, worse":                 {runs(70), sample.Worse, ""},
		"one, near":                  {runs(96.5), sample.Unsure, "--repeat 4"},
		"one, that has failed once":  {spoil(runs(70), func(_ *capacity.Result, r *capacity.Row) { r.Trials = trials(70, 73) }), sample.Unsure, "--repeat 4"},
		"one, that has passed above": {spoil(runs(70), func(_ *capacity.Result, r *capacity.Row) { r.Trials = append(r.Trials, trials(105)...) }), sample.Unsure, "--repeat 4"},
		"missing":                    {spoil(runs(1), func(_ *capacity.Result, r *capacity.Row) { r.Limit.CPU = 2 }), sample.Missing, "no such row"},
		"counts other events":        {spoil(runs(100, 101, 102, 103, 104), func(_ *capacity.Result, r *capacity.Row) { r.Syscalls /= 3 }), sample.Same, ""},
		"lower bounds":               {spoil(runs(worse...), func(_ *capacity.Result, r *capacity.Row) { r.Status = capacity.AtLeast }), sample.Unsure, "lower bound"},
		"unconfirmed":                {spoil(runs(worse...), func(_ *capacity.Result, r *capacity.Row) { r.Status = capacity.Unconfirmed }), sample.Unsure, "unconfirmed"},
		"noisy rows":                 {spoil(runs(worse...), func(_ *capacity.Result, r *capacity.Row) { r.Noisy = []string{"others"} }), sample.Unsure, "noisy: others"},
		"a busy machine":             {spoil(runs(worse...), func(r *capacity.Result, _ *capacity.Row) { r.Environment.LoadBefore = 1.5 }), sample.Unsure, "busy"},
		"after another run": {spoil(runs(worse...), func(r *capacity.Result, _ *capacity.Row) {
			r.Environment.LoadBefore, r.Environment.IdleBefore = 1.5, new(1.8)
		}), sample.Worse, ""},
		"busy with other work": {spoil(runs(worse...), func(r *capacity.Result, _ *capacity.Row) { r.Environment.IdleBefore = new(0.8) }), sample.Unsure, "busy"},
		"forced":               {spoil(runs(worse...), func(r *capacity.Result, _ *capacity.Row) { r.Method.Force = true }), sample.Unsure, "--force"},
	} {
		got, err := Compare(base, test.b)
		if err != nil || len(got.Rows) != 1 || got.Rows[0].Change != test.want || got.Overall != test.want {
			t.Errorf("%s: %+v, %v; want %s", name, got, err, test.want)
			continue
		}
		if why := got.Rows[0].Why; !strings.Contains(why, test.why) || (why == "") != (test.why == "") {
			t.Errorf("%s: because %q, want %q", name, why, test.why)
		}
	}
}

// Results with different loads cannot be compared.
func TestCompareRefuses(t *testing.T) {
	for want, change := range map[string]func(*capacity.Result, *capacity.Row){
		"loads differ":   func(r *capacity.Result, _ *capacity.Row) { r.Method.Load = capacity.Load{Alerts: 1, Others: 50} },
		"actions differ": func(r *capacity.Result, _ *capacity.Row) { r.Method.Actions = []string{"x"} },
	} {
		if c, err := Compare(runs(100), spoil(runs(50), change)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", want, c, err)
		}
	}
	if _, err := Compare(runs(100), nil); err == nil {
		t.Error("a run was compared with nothing")
	}
}

func TestNotes(t *testing.T) {
	a, b := runs(100), runs(96)
	b[0].Environment.Kernel = "5.8"
	a[0].Sensors[0] = capacity.Sensor{SHA256: "1", Command: []string{"s", "-s", "a/sensor-stats.json"}}
	b[0].Sensors[0] = capacity.Sensor{SHA256: "2", Command: []string{"s", "-s", "b/sensor-stats.json", "-r", "x.yaml"}}
	got, err := Compare(a, b)
	want := []string{"kernel differs:  and 5.8", "set of rules or configuration differs: 1 and 2", "only the sensor of B had -r x.yaml"}
	if diff := cmp.Diff(want, got.Notes); err != nil || diff != "" {
		t.Errorf("%v, notes (-want +got):\n%s", err, diff)
	}
}
