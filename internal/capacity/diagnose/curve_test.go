package diagnose_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/usage"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
)

// published are the rows of the method's own table.
func published() []capacity.Row {
	row := func(cpu, rate, eps float64) capacity.Row {
		return capacity.Row{Limit: capacity.Limit{CPU: cpu, Memory: 512 << 20}, Syscalls: rate, EPS: eps, Status: capacity.Confirmed,
			Trials: []capacity.Trial{{Round: bench.Round{Usage: &usage.Window{RSSPeak: 100 << 20}}}}}
	}
	return []capacity.Row{row(0.5, 150e3, 2800), row(1, 250e3, 4200), row(2, 320e3, 7000)}
}

func TestCurve(t *testing.T) {
	curve := diagnose.CurveOf("", published())
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
	if knee := curve.Knee; knee == nil || knee.CPU != 1 {
		t.Errorf("knee at %+v, want 1 CPU", knee)
	}
	if diagnose.CurveOf("", published()[:1]).Knee != nil {
		t.Error("one point has a knee")
	}
}

func TestCurveInversion(t *testing.T) {
	rows := published()
	rows[1].Syscalls = 140e3
	if diff := cmp.Diff([]capacity.Point{{CPU: 0.5, Rate: 150e3, Certain: true}, {CPU: 2, Rate: 320e3, Certain: true}}, diagnose.CurveOf("", rows).Points); diff != "" {
		t.Errorf("curve (-want +got):\n%s", diff)
	}
}
