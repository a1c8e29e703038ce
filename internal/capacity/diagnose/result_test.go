package diagnose_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/usage"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
)

// rowOf is a row whose events and alerts are in proportion to its operations.
func rowOf(sensor string, cpu, rate float64, status capacity.Status) capacity.Row {
	return capacity.Row{Sensor: sensor, Limit: capacity.Limit{CPU: cpu, Memory: 512 << 20}, Status: status, Syscalls: 4 * rate, EPS: rate,
		NDR: capacity.Bound{Lower: rate}, Clean: -1, Failed: -1, Factor: capacity.Factor{Name: capacity.FactorCPU}}
}

func resultOf(rows ...capacity.Row) *capacity.Result {
	r := &capacity.Result{Method: capacity.Method{Load: capacity.AlertsOnly}, Environment: capacity.Environment{CPUs: 2}, Rows: rows}
	seen := map[string]bool{}
	for _, row := range rows {
		if !seen[row.Sensor] {
			r.Sensors = append(r.Sensors, capacity.Sensor{Variant: row.Sensor, Name: row.Sensor})
		}
		seen[row.Sensor] = true
	}
	diagnose.Complete(r)
	return r
}

// The rate carried by a smaller limit is a lower bound for larger ones that are
// not confirmed, and stays a bound.
func TestCarried(t *testing.T) {
	for name, test := range map[string]struct {
		rows []capacity.Row
		want []string // claims of operations
	}{
		"bound below a smaller answer": {[]capacity.Row{rowOf("", 0.5, 220e3, capacity.Confirmed), rowOf("", 1, 180e3, capacity.AtLeast)}, []string{"220K", "≥ 220K"}},
		"bound above":                  {[]capacity.Row{rowOf("", 0.5, 100e3, capacity.Confirmed), rowOf("", 1, 180e3, capacity.AtLeast)}, []string{"100K", "≥ 180K"}},
		"bounds only":                  {[]capacity.Row{rowOf("", 1, 190e3, capacity.AtLeast), rowOf("", 0.25, 220e3, capacity.AtLeast), rowOf("", 0.5, 180e3, capacity.AtLeast)}, []string{"≥ 220K", "≥ 220K", "≥ 220K"}},
		"unconfirmed below":            {[]capacity.Row{rowOf("", 0.5, 100e3, capacity.Confirmed), rowOf("", 1, 50e3, capacity.Unconfirmed)}, []string{"100K", "≥ 100K"}},
		"confirmed below":              {[]capacity.Row{rowOf("", 0.5, 100e3, capacity.Confirmed), rowOf("", 1, 50e3, capacity.Confirmed)}, []string{"100K", "50K"}},
		"unconfirmed carries nothing":  {[]capacity.Row{rowOf("", 0.5, 100e3, capacity.Unconfirmed), rowOf("", 1, 50e3, capacity.AtLeast)}, []string{"~ 100K", "≥ 50K"}},
		"another sensor":               {[]capacity.Row{rowOf("a", 0.5, 100e3, capacity.Confirmed), rowOf("b", 1, 50e3, capacity.AtLeast)}, []string{"100K", "≥ 50K"}},
	} {
		var got []string
		for _, a := range resultOf(test.rows...).Findings.Answers {
			got = append(got, a.Claim(a.Operations))
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Of the repeats of a limit, those answer that are sound: a failed row is no
// measurement, and one that less CPU outdoes gives way to its repeat. The curve
// makes the same choice.
func TestSoundRepeats(t *testing.T) {
	const confirmed, failed = capacity.Confirmed, capacity.Failed
	half := rowOf("", 0.5, 100e3, confirmed)
	for name, test := range map[string]struct {
		rows []capacity.Row
		want string  // claim of the last answer
		rate float64 // of the curve's last point
	}{
		"one failed":                    {[]capacity.Row{rowOf("", 1, 0, failed), rowOf("", 1, 200e3, confirmed)}, "200K", 200e3},
		"most failed":                   {[]capacity.Row{rowOf("", 1, 0, failed), rowOf("", 1, 0, failed), rowOf("", 1, 200e3, confirmed)}, "200K", 200e3},
		"a bound and a failure":         {[]capacity.Row{rowOf("", 1, 0, failed), rowOf("", 1, 200e3, capacity.AtLeast)}, "≥ 200K", 200e3},
		"a bound below":                 {[]capacity.Row{rowOf("", 1, 120e3, capacity.AtLeast), rowOf("", 1, 200e3, confirmed)}, "200K", 200e3},
		"an inversion, repeated":        {[]capacity.Row{half, rowOf("", 1, 60e3, confirmed), rowOf("", 1, 200e3, confirmed)}, "200K", 200e3},
		"an inversion, again":           {[]capacity.Row{half, rowOf("", 1, 60e3, confirmed), rowOf("", 1, 62e3, confirmed)}, "60K", 100e3},
		"an inversion, and then failed": {[]capacity.Row{half, rowOf("", 1, 60e3, confirmed), rowOf("", 1, 0, failed)}, "60K", 100e3},
		"two sound ones":                {[]capacity.Row{rowOf("", 1, 190e3, confirmed), rowOf("", 1, 200e3, confirmed)}, "190K", 195e3},
	} {
		f := resultOf(test.rows...).Findings
		a := f.Answers[len(f.Answers)-1]
		points := f.Curves[0].Points
		if got := a.Claim(a.Operations); got != test.want || points[len(points)-1].Operations != test.rate {
			t.Errorf("%s: answer %s, curve %+v; want %s and %v", name, got, points, test.want, test.rate)
		}
	}
}

func TestHeadline(t *testing.T) {
	noisy := rowOf("", 1, 100e3, capacity.Confirmed)
	noisy.Noisy = []string{"the same rate has both passed and failed"}
	failed := rowOf("", 1, 0, capacity.Failed)
	failed.Error = "no room"
	proved := rowOf("", 1, 90e3, capacity.Confirmed)
	proved.Trials, proved.Clean = []capacity.Trial{{Round: bench.Round{Total: bench.Score{OK: 30000}}}}, 0
	for name, test := range map[string]struct {
		rows      []capacity.Row
		change    func(*capacity.Result)
		want      string
		confirmed bool
		caveats   int
	}{
		"one CPU first":        {[]capacity.Row{rowOf("", 0.5, 50e3, capacity.Confirmed), rowOf("", 1, 90e3, capacity.Confirmed), rowOf("", 2, 95e3, capacity.Confirmed)}, nil, "1 CPU, 512Mi sustains 360K", true, 0},
		"a confirmed one":      {[]capacity.Row{rowOf("", 0.5, 50e3, capacity.Confirmed), rowOf("", 1, 90e3, capacity.AtLeast)}, nil, "0.5 CPU, 512Mi sustains 200K", true, 0},
		"only bounds":          {[]capacity.Row{rowOf("", 0.5, 50e3, capacity.AtLeast)}, nil, "sustains ≥ 200K", false, 0},
		"noisy":                {[]capacity.Row{noisy}, nil, "1 CPU", true, 1},
		"forced, busy, partly": {[]capacity.Row{rowOf("", 1, 90e3, capacity.Confirmed)}, func(r *capacity.Result) { r.Method.Force, r.Environment.LoadBefore, r.Partial = true, 1.5, true }, "1 CPU", true, 3},
		"carried":              {[]capacity.Row{rowOf("", 0.25, 220e3, capacity.AtLeast), rowOf("", 0.5, 180e3, capacity.AtLeast)}, nil, "0.5 CPU, 512Mi sustains ≥ 880K sensor events/s = ≥ 220K alerts/s without a drop, as much as 0.25 CPU, 512Mi has carried.", false, 0},
		"with the loss below":  {[]capacity.Row{proved}, nil, "without a drop (95 % upper bound of the loss 0.01 %); limiting factor", true, 0},
		"failed":               {[]capacity.Row{failed}, nil, "1 CPU, 512Mi could not be measured: no room.", false, 0},
		"too much":             {[]capacity.Row{rowOf("", 1, 0, capacity.NoCapacity)}, nil, "1 CPU, 512Mi loses events at any rate that was tried", false, 0},
		"nothing":              {nil, nil, "Nothing was measured", false, 0},
	} {
		r := resultOf(test.rows...)
		if test.change != nil {
			test.change(r)
			diagnose.Complete(r)
		}
		h := r.Findings.Headline
		if !strings.Contains(h.Text, test.want) || h.Confirmed != test.confirmed || len(h.Caveats) != test.caveats {
			t.Errorf("%s: %+v", name, h)
		}
	}
}

func TestPairs(t *testing.T) {
	for name, test := range map[string]struct {
		a, b capacity.Row
		want string
	}{
		"confirmed":      {rowOf("A", 0.5, 92e3, capacity.Confirmed), rowOf("B", 0.5, 5.1e3, capacity.Confirmed), "At 0.5 CPU A takes 18 times the alerts of B."},
		"two digits":     {rowOf("A", 0.5, 92e3, capacity.Confirmed), rowOf("B", 0.5, 5e3, capacity.Confirmed), "A takes 18 times the alerts of B."},
		"the other way":  {rowOf("A", 0.5, 5e3, capacity.Confirmed), rowOf("B", 0.5, 12.4e3, capacity.Confirmed), "At 0.5 CPU B takes 2.5 times the alerts of A."},
		"a bound":        {rowOf("A", 1, 90e3, capacity.AtLeast), rowOf("B", 1, 9e3, capacity.Confirmed), "A takes at least 10 times the alerts of B."},
		"two bounds":     {rowOf("A", 1, 90e3, capacity.AtLeast), rowOf("B", 1, 9e3, capacity.AtLeast), "cannot be told"},
		"the same":       {rowOf("A", 1, 90e3, capacity.Confirmed), rowOf("B", 1, 88e3, capacity.Confirmed), "the same alerts, within 5 %"},
		"not measurable": {rowOf("A", 1, 90e3, capacity.Confirmed), rowOf("B", 1, 0, capacity.Failed), "B has no confirmed row"},
	} {
		r := resultOf(test.a, test.b)
		if c := r.Findings.Pairs; len(c) != 1 || !strings.Contains(c[0].Sentence, test.want) || !strings.HasPrefix(r.Findings.Headline.Text, c[0].Sentence) {
			t.Errorf("%s: %+v, headline %q", name, c, r.Findings.Headline.Text)
		}
	}
}

// The cost is of all clean rounds with enough to do, and of those alone.
func TestCost(t *testing.T) {
	trial := func(clean bool, cpu, events, alerts float64) capacity.Trial {
		return capacity.Trial{Verdict: capacity.Verdict{Clean: clean}, Round: bench.Round{End: 10e9, Usage: &usage.Window{CPU: cpu},
			Sensor: &bench.SensorStats{EventsMean: events}, Total: bench.Score{Matched: int(10 * alerts)}}}
	}
	row := rowOf("", 1, 100e3, capacity.Confirmed)
	row.Trials = []capacity.Trial{trial(true, 0.2, 100e3, 20e3), trial(true, 0.3, 100e3, 20e3), trial(true, 0.4, 100e3, 20e3), trial(false, 1, 100e3, 20e3), trial(true, 0.01, 10, 10)}
	c := resultOf(row).Findings.Costs[0]
	if c.PerMillionEvents.Median != 3 || c.PerMillionEvents.N != 3 || math.Abs(c.PerThousandAlerts.Median-0.015) > 1e-9 || c.PerMillionEvents.Low != 2 || c.PerMillionEvents.High != 4 {
		t.Errorf("%+v", c)
	}
}

// A row that nothing has limited says so, and not the generator that had been
// behind before, nor the time.
func TestNothingYet(t *testing.T) {
	trial := func(target, offered float64) capacity.Trial {
		return capacity.Trial{Target: target, Verdict: capacity.Verdict{Clean: true, Offered: offered, Limited: offered < 0.9*target}, Round: bench.Round{Observer: bench.Observer{CPUs: 2}}}
	}
	for name, test := range map[string]struct {
		trials []capacity.Trial
		lower  float64
		last   int
		want   capacity.FactorName
	}{
		"the target was met":     {[]capacity.Trial{trial(1000, 1000), trial(2000, 2000)}, 2000, 1, capacity.FactorNone},
		"met after being late":   {[]capacity.Trial{trial(2000, 1500), trial(2000, 2000)}, 2000, 1, capacity.FactorNone},
		"behind":                 {[]capacity.Trial{trial(1000, 1000), trial(2000, 1200)}, 1200, 1, capacity.FactorGenerator},
		"confirmed below behind": {[]capacity.Trial{trial(2000, 1200), trial(1080, 1080)}, 1080, 1, capacity.FactorGenerator},
	} {
		row := rowOf("", 1, test.lower, capacity.AtLeast)
		row.Trials, row.NDR.LowerTrial, row.NDR.UpperTrial = test.trials, test.last, -1
		diagnose.Answer(&row)
		if row.Factor.Name != test.want || row.Factor.Evidence == "" {
			t.Errorf("%s: %+v, want %s", name, row.Factor, test.want)
		}
	}
}

// A load that others have taken the CPUs from is not the generator's limit.
func TestOthers(t *testing.T) {
	behind := capacity.Trial{Target: 8000, Verdict: capacity.Verdict{Clean: true, Limited: true, Offered: 3000}, Round: bench.Round{
		Observer: bench.Observer{CPUs: 2, HostIdle: 0.01, CPU: 0.05, Generator: 0.1}, Usage: &usage.Window{CPU: 0.12}}}
	if f := diagnose.Explain(capacity.Limit{CPU: 0.25}, nil, &behind, nil); f.Name != capacity.FactorMachine || !strings.Contains(f.Evidence, "1.7 of 2 CPUs went to other work") {
		t.Errorf("%+v", f)
	}
	behind.Round.Observer.Generator = 1.7
	if f := diagnose.Explain(capacity.Limit{CPU: 0.25}, nil, &behind, nil); f.Name != capacity.FactorGenerator {
		t.Errorf("%+v", f)
	}
}
