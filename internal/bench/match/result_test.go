package match

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/generator"
)

// The cost of an action is that of its own instances, failed ones included,
// skipped ones not.
func TestCost(t *testing.T) {
	of := func(action uint16, length int64, change func(*generator.Instance)) generator.Instance {
		i := in(100, 100+length)
		i.Action = action
		if change != nil {
			change(&i)
		}
		return i
	}
	x := NewIndex(append(actions, Action{Name: "a.Three", Rule: "Rule three"}), []generator.Instance{
		of(0, 10, nil), of(0, 20, nil), of(0, 60, func(i *generator.Instance) { i.Errno = 13 }),
		of(0, 1000, func(i *generator.Instance) { i.Skipped = true }), of(1, 7, nil),
	}, "", Clock{})
	for action, want := range []struct {
		count, least, most int64
		mean               float64
	}{{3, 10, 60, 30}, {1, 7, 7, 7}, {}} {
		h, mean := x.Cost(action)
		if q := h.Quantiles(); q.Count != want.count || q.Min != want.least || q.Max != want.most || mean != want.mean {
			t.Errorf("action %d: %+v, mean %v, want %+v", action, q, mean, want)
		}
	}
}

// The quantiles of 1 to 1000 are their names.
func TestQuantiles(t *testing.T) {
	h := NewHistogram()
	for ns := range int64(1000) {
		h.Add(ns + 1)
	}
	want := Quantiles{Count: 1000, Min: 1, P50: 500, P90: 900, P99: 990, P999: 999, Max: 1000}
	if diff := cmp.Diff(want, h.Quantiles()); diff != "" {
		t.Error(diff)
	}
	if q := NewHistogram().Quantiles(); q != (Quantiles{}) {
		t.Errorf("of nothing: %+v", q)
	}
}

// Alerts that name another run, or a process that the generator did not start,
// are not matched, whatever their time.
func TestOtherRuns(t *testing.T) {
	for _, tt := range []struct {
		mine, of string
		want     Class
	}{
		{"run", "run", Matched}, {"run", "", Matched}, {"", "other", Matched},
		{"run", "other", Outside}, {"run", intake.Stranger, Foreign},
	} {
		x := NewIndex(actions, []generator.Instance{in(100, 110)}, tt.mine, Clock{})
		var got Class
		x.Match([]intake.Alert{{Time: 105, TID: 1, Rule: "Rule one", Run: tt.of}}, 0, func(_ *intake.Alert, v Class, _ *generator.Instance) { got = v })
		if got != tt.want {
			t.Errorf("alert of %q in run %q: %v, want %v", tt.of, tt.mine, got, tt.want)
		}
	}
}
