package capacity

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/usage"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
)

// published are the rows of the method's own table.
func published() []Row {
	row := func(cpu, rate, eps float64) Row {
		return Row{Limit: limit.Limit{CPU: cpu, Memory: 512 << 20}, Syscalls: rate, EPS: eps, Status: Confirmed,
			Trials: []Trial{{Round: bench.Round{Usage: &usage.Window{RSSPeak: 100 << 20}}}}}
	}
	return []Row{row(0.5, 150e3, 2800), row(1, 250e3, 4200), row(2, 320e3, 7000)}
}

func TestCurve(t *testing.T) {
	curve := CurveOf(published())
	for rate, want := range map[float64]float64{75e3: 0.25, 150e3: 0.5, 200e3: 0.75, 250e3: 1, 285e3: 1.5, 320e3: 2} {
		if cpu, enough := curve.CPUFor(rate); cpu != want || !enough {
			t.Errorf("CPU for %v is %v (%v), want %v", rate, cpu, enough, want)
		}
		if got, _ := curve.RateFor(want); got != rate {
			t.Errorf("rate for %v CPU is %v, want %v", want, got, rate)
		}
	}
	if cpu, enough := curve.CPUFor(400e3); cpu != 2 || enough {
		t.Errorf("beyond the curve: %v, %v", cpu, enough)
	}
	// The first half CPU brings 300 k per CPU, the second 200 k, the next 70 k.
	if knee, ok := curve.Knee(); !ok || knee.CPU != 1 {
		t.Errorf("knee at %+v (%v), want 1 CPU", knee, ok)
	}
	if _, ok := CurveOf(published()[:1]).Knee(); ok {
		t.Error("one point has a knee")
	}
}

func TestCurveInversion(t *testing.T) {
	rows := published()
	rows[1].Syscalls = 140e3
	if diff := cmp.Diff(Curve{{CPU: 0.5, Rate: 150e3, Certain: true}, {CPU: 2, Rate: 320e3, Certain: true}}, CurveOf(rows)); diff != "" {
		t.Errorf("curve (-want +got):\n%s", diff)
	}
}

func TestRecommend(t *testing.T) {
	seen, err := Observe("prod.txt", map[string][]float64{"a": {30e3, 60e3, 150e3}, "b": {75e3}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Observed{Source: "prod.txt", Samples: 4, Nodes: 2, P50: 60e3, P95: 150e3, P99: 150e3, Max: 150e3}, seen); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
	classes := map[string][]float64{"big": {300e3, 100e3}, "small": {30e3}}
	r, err := Recommend(published(), seen, classes)
	if err != nil {
		t.Fatal(err)
	}
	// 150k is the capacity of half a CPU; a third more, 195k, of 0.725.
	if r.RequestCPU != 0.5 || !near(r.LimitCPU, 0.75, 1e-9) || r.LimitMemory != 192<<20 {
		t.Errorf("recommended %v to %v CPU, %d bytes", r.RequestCPU, r.LimitCPU, r.LimitMemory)
	}
	if len(r.Fleet) != 2 || !r.Fleet[0].OverCap || r.Fleet[1].OverCap || !near(r.Fleet[1].SumCPU, 0.1, 1e-9) {
		t.Errorf("fleet %+v", r.Fleet)
	}
	seen.Max = 300e3
	if r, err = Recommend(published(), seen, nil); err != nil || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "more than") {
		t.Errorf("a node beyond the curve: %+v, %v", r, err)
	}
	if _, err := Recommend(nil, seen, nil); err == nil {
		t.Error("a recommendation from nothing")
	}
}

func TestObserveNothing(t *testing.T) {
	if _, err := Observe("empty.txt", nil); err == nil || !strings.Contains(err.Error(), "empty.txt") {
		t.Errorf("nothing observed: %v", err)
	}
}

func TestRoundDown(t *testing.T) {
	for x, want := range map[float64]float64{8674.2: 8600, 365098.75: 360000, 99: 99, 1.25: 1.2, 0: 0, 150e3: 150e3, 7000: 7000} {
		if got := RoundDown(x); !near(got, want, 1e-6) {
			t.Errorf("RoundDown(%v) = %v, want %v", x, got, want)
		}
	}
}

func TestParseLoad(t *testing.T) {
	for text, want := range map[string]Load{"alerts": AlertsOnly, "noise": NoiseOnly, "1:50": {1, 50}, "0:1": {0, 1}} {
		if got, err := ParseLoad(text); err != nil || got != want {
			t.Errorf("ParseLoad(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0:0", "1:-1", "1", "a:b", "NaN:1", "1:Inf"} {
		if got, err := ParseLoad(text); err == nil {
			t.Errorf("ParseLoad(%q) = %v, want an error", text, got)
		}
	}
	if a, n := (Load{1, 49}).Split(1000); a != 20 || n != 980 {
		t.Errorf("1:49 of 1000 is %v and %v", a, n)
	}
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }
