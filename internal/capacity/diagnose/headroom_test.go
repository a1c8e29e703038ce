package diagnose

import (
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/bench/usage"
	"github.com/peregrine-sec/peregrine/internal/capacity"
)

// grown is a result of a workload of 1000 syscalls/s: no-drop rates of bursts and
// average under rising limits.
func grown(rows ...[2]float64) *capacity.Result {
	r := &capacity.Result{Method: capacity.Method{Load: capacity.Load{Others: 1000, Workload: "node.json"}, Margin: 2},
		Sensors: []capacity.Sensor{{Variant: capacity.Bursty("")}, {Variant: capacity.Steady("")}}}
	for i, pair := range rows {
		for j, name := range []string{capacity.Bursty(""), capacity.Steady("")} {
			row := capacity.Row{Sensor: name, Limit: capacity.Limit{CPU: float64(i+1) / 2, Memory: 512 << 20}, Status: capacity.Confirmed,
				NDR: capacity.Bound{Lower: pair[j], Upper: 2 * pair[j]}, Clean: -1, Failed: -1, Factor: capacity.Factor{Name: capacity.FactorCPU}}
			if j == 0 {
				row.Factor.Name = capacity.FactorRing
			}
			if pair[j] == 0 {
				row.Status = capacity.NoCapacity
			} else {
				row.Trials = []capacity.Trial{{Phase: capacity.Confirm, Verdict: capacity.Verdict{Clean: true, Offered: pair[j]}}}
				row.Clean = 0
			}
			r.Rows = append(r.Rows, row)
		}
	}
	return r
}

// The trials that failed are those at the upper bound and above, without clean
// ones and those that were done again, the lowest first.
func TestFailures(t *testing.T) {
	trial := func(offered float64, clean bool) capacity.Trial {
		return capacity.Trial{Target: offered, Verdict: capacity.Verdict{Offered: offered, Clean: clean}}
	}
	gone := trial(1600, false)
	gone.Round.Usage = &usage.Window{Gone: true}
	r := &capacity.Row{NDR: capacity.Bound{Upper: 1000}, Trials: []capacity.Trial{
		trial(2000, false), trial(900, false), trial(1000, false), trial(1500, true), gone, trial(1600, false), gone}}
	r.Failed = 2
	var offered []float64
	for _, failed := range failures(r) {
		offered = append(offered, failed.Verdict.Offered)
	}
	if want := []float64{1000, 1600, 1600, 2000}; !slices.Equal(offered, want) {
		t.Errorf("%v, want %v", offered, want)
	}
	if r.Failed = -1; failures(r) != nil {
		t.Error("a row without a failure has some")
	}
}

func TestHeadroom(t *testing.T) {
	for _, test := range []struct {
		name string
		rows [][2]float64
		want []string // parts of the headline
		not  string
	}{
		{"bursts first", [][2]float64{{3100, 7400}}, []string{
			"At 0.5 CPU, 512Mi this workload can grow 7.4 times before the first drop (sensor CPU), its bursts of 100 ms first at 3.1 times: ring buffer",
			"A ring buffer 4 times as large", "buf_size_preset: 6, if it is 4 now",
			"smallest limit that carries it 2 times, bursts included: 0.5 CPU"}, ""},
		{"both", [][2]float64{{4000, 4100}}, []string{"can grow 4 times before the first drop, with its bursts"}, "first at"},
		{"second limit", [][2]float64{{1500, 1600}, {2500, 2600}}, []string{"smallest limit that carries it 2 times, bursts included: 1 CPU"}, ""},
		{"just", [][2]float64{{2000, 2100}, {2500, 2600}}, []string{"smallest limit that carries it 2 times, bursts included: 0.5 CPU"}, ""},
		{"nearly", [][2]float64{{1995, 2000}}, []string{"can grow 1.9 times", "smallest limit that carries it 2 times, bursts included: none that was measured"}, ""},
		{"none", [][2]float64{{1500, 1600}}, []string{"smallest limit that carries it 2 times, bursts included: none that was measured"}, ""},
		{"too much", [][2]float64{{0, 3000}}, []string{"is too much in its bursts of 100 ms (ring buffer); its average could grow 3 times"}, ""},
		{"much too much", [][2]float64{{0, 0}}, []string{"loses events (ring buffer)"}, ""},
	} {
		r := grown(test.rows...)
		Complete(r)
		text := r.Findings.Headline.Text
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q, want %q in it", test.name, text, want)
			}
		}
		if test.not != "" && strings.Contains(text, test.not) {
			t.Errorf("%s: %q, want no %q", test.name, text, test.not)
		}
		if len(r.Findings.Headroom) != len(test.rows) {
			t.Errorf("%s: %d limits have a headroom, want %d", test.name, len(r.Findings.Headroom), len(test.rows))
		}
		if len(r.Findings.Pairs) > 0 {
			t.Errorf("%s: %+v: bursts and average are no rivals", test.name, r.Findings.Pairs)
		}
	}
}

// The buffer that is advised holds what is left of a burst while the sensor takes
// what it can.
func TestLarger(t *testing.T) {
	for _, test := range []struct{ bursts, average, burst, want float64 }{
		{2, 4, 0, 2},     // an older result: bursts of no known height
		{2, 3.9, 1e6, 2}, // over in no time
		{8, 29, 5, 16},   // 40 - 29 were too much, 145 - 29 are to fit
		{8, 29, 3.6, 4},  // 28.8 in 100 ms fit: it was a part of these
		{5, 6, 2, 2},     // 10 - 6, then 12 - 6
		{3, 3.1, 1.1, 2}, // hardly a burst
	} {
		if got := larger(test.bursts, test.average, test.burst); got != test.want {
			t.Errorf("%+v: %g", test, got)
		}
	}
}
