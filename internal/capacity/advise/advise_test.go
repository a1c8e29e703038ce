package advise

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/usage"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// published are the rows of the method's own table.
func published() []capacity.Row {
	row := func(cpu, rate, eps float64) capacity.Row {
		return capacity.Row{Limit: capacity.Limit{CPU: cpu, Memory: 512 << 20}, Syscalls: rate, EPS: eps, Status: capacity.Confirmed,
			Trials: []capacity.Trial{{Round: bench.Round{Usage: &usage.Window{RSSPeak: 100 << 20}}}}}
	}
	return []capacity.Row{row(0.5, 150e3, 2800), row(1, 250e3, 4200), row(2, 320e3, 7000)}
}

func TestRecommend(t *testing.T) {
	seen, err := Observe("prod.txt", map[string][]float64{"a": {30e3, 60e3, 150e3}, "b": {75e3}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(capacity.Observed{Source: "prod.txt", Samples: 4, Nodes: 2, P50: 60e3, P95: 150e3, P99: 150e3, Max: 150e3}, seen); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
	classes := map[string][]float64{"big": {300e3, 100e3}, "small": {30e3}}
	r, err := Recommend(curve(), published(), seen, classes)
	if err != nil {
		t.Fatal(err)
	}
	// 150k is the capacity of half a CPU; 30 % more, 195k, of 0.725.
	if r.RequestCPU != 0.5 || !near(r.LimitCPU, 0.75, 1e-9) || r.LimitMemory != 192<<20 {
		t.Errorf("recommended %v to %v CPU, %d bytes", r.RequestCPU, r.LimitCPU, r.LimitMemory)
	}
	// Of 0.75 CPU: 200k, for the 150k of the busiest node.
	if !near(r.Headroom, 200.0/150, 1e-9) {
		t.Errorf("headroom %v", r.Headroom)
	}
	if len(r.Fleet) != 2 || !r.Fleet[0].OverCap || r.Fleet[1].OverCap || !near(r.Fleet[1].SumCPU, 0.1, 1e-9) {
		t.Errorf("fleet %+v", r.Fleet)
	}
	other := published()[0]
	other.Sensor, other.Trials = "other", []capacity.Trial{{Round: bench.Round{Usage: &usage.Window{RSSPeak: 1 << 30}}}}
	if r, err := Recommend(curve(), append(published(), other), seen, nil); err != nil || r.LimitMemory != 192<<20 {
		t.Errorf("with the memory of another sensor: %+v, %v", r, err)
	}
	seen.Max = 300e3
	if r, err = Recommend(curve(), published(), seen, nil); err != nil || !r.OverCapacity || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "more than") {
		t.Errorf("a node beyond the curve: %+v, %v", r, err)
	}
	if _, err := Recommend(capacity.Curve{}, nil, seen, nil); err == nil {
		t.Error("a recommendation from nothing")
	}
}

// Advice by what the nodes see and how much memory the sensor used.
func TestAdvice(t *testing.T) {
	other := published()[0]
	other.Sensor, other.Trials = "other", []capacity.Trial{{Round: bench.Round{Usage: &usage.Window{RSSPeak: 1 << 30}}}}
	small := published()
	for i := range small {
		small[i].Trials = []capacity.Trial{{Round: bench.Round{Usage: &usage.Window{RSSPeak: 10 << 20}}}}
	}
	large := published()
	large[2].Trials[0].Limits.MemoryPeak = 300 << 20
	for _, tt := range []struct {
		name     string
		rows     []capacity.Row
		seen     []float64
		request  float64
		memory   int64
		headroom float64
		notes    string // a part of the only one
	}{
		{"a quiet node", published(), []float64{30e3}, 0.1, 192 << 20, 1, "below 0.5 CPU"},
		{"exactly the smallest row", published(), []float64{150e3}, 0.5, 192 << 20, 1.3, ""},
		{"no events at all", published(), []float64{0}, 0.05, 192 << 20, 0, "below 0.5 CPU"},
		{"rows of another sensor first", append([]capacity.Row{other}, published()...), []float64{150e3}, 0.5, 192 << 20, 1.3, ""},
		{"little memory", small, []float64{150e3}, 0.5, 128 << 20, 1.3, ""},
		{"memory of the cgroup in the last row", large, []float64{150e3}, 0.5, 512 << 20, 1.3, ""},
	} {
		seen, err := Observe("prod.txt", map[string][]float64{"a": tt.seen})
		if err != nil {
			t.Fatal(err)
		}
		r, err := Recommend(curve(), tt.rows, seen, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !near(r.RequestCPU, tt.request, 1e-9) || r.LimitMemory != tt.memory || r.RequestMemory != tt.memory {
			t.Errorf("%s: request %v CPU, %d bytes, want %v, %d", tt.name, r.RequestCPU, r.LimitMemory, tt.request, tt.memory)
		}
		if r.Headroom < tt.headroom || tt.headroom == 0 && r.Headroom != 0 {
			t.Errorf("%s: headroom %v, want at least %v", tt.name, r.Headroom, tt.headroom)
		}
		if notes := strings.Join(r.Notes, "; "); (notes == "") != (tt.notes == "") || !strings.Contains(notes, tt.notes) {
			t.Errorf("%s: notes %q, want %q", tt.name, notes, tt.notes)
		}
	}
}

func TestObserveNothing(t *testing.T) {
	if _, err := Observe("empty.txt", nil); err == nil || !strings.Contains(err.Error(), "empty.txt") {
		t.Errorf("nothing observed: %v", err)
	}
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

func curve() capacity.Curve { return diagnose.CurveOf("", published()) }
