package sweep_test

import (
	"math/rand/v2"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/compare"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
	"github.com/peregrine-sec/peregrine/internal/sample"
	"github.com/peregrine-sec/peregrine/test/support/capacitytest"
)

// Two runs of the same sensor agree within 5 % in their confirmed rows, or the
// differing rows are named, with the reason. The sensor has hiccups; in some
// models it takes less while it is behind, so that a row has two states. Chance
// decides, from seeds that are fixed.
func TestTwoRunsAgree(t *testing.T) {
	const pairs = 60
	for _, tt := range []struct {
		name   string
		hiccup float64 // in a quarter of a second
		behind float64
		same   int // rows of pairs*3 that agree, at least
		wrong  int // rows judged better or worse, at most
	}{
		{"steady", 0, 1, 140, 0},
		{"a hiccup in a quarter of an hour", 1. / 3600, 1, 120, 0},
		{"a hiccup in a minute", 1. / 240, 1, 40, 1},
		{"two states, seldom", 1. / 3600, 0.8, 100, 0},
		{"two states, often", 1. / 240, 0.8, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			same, wrong := 0, 0
			for range pairs {
				sensor := capacitytest.Default()
				sensor.Threads, sensor.Behind = 2, tt.behind
				sensor.Ring, sensor.Burst = 20e3+280e3*random.Float64(), 0.2*random.Float64()
				sensor.Hiccup = func() bool { return random.Float64() < tt.hiccup }
				c, err := compare.Compare(simulate(t, sensor), simulate(t, sensor))
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range c.Rows {
					switch {
					case d.Change == sample.Same:
						same++
					case d.Change != sample.Unsure:
						wrong++
					case d.Why == "":
						t.Errorf("%s: %v and %v differ, and nothing says why", d.Limit, d.A, d.B)
					}
				}
			}
			if same < tt.same || wrong > tt.wrong {
				t.Errorf("of %d rows %d agree and %d are better or worse; want at least %d and at most %d", 3*pairs, same, wrong, tt.same, tt.wrong)
			}
		})
	}
}

// simulate is a default run.
func simulate(t *testing.T, sensor capacitytest.Sensor) []capacity.Result {
	t.Helper()
	r := capacity.Result{Sensors: []capacity.Sensor{{}}, Environment: capacity.Environment{CPUs: sensor.CPUs},
		Method: capacity.Method{Load: capacity.AlertsOnly}, Rows: measure(t, options(capacitytest.New(sensor)))}
	diagnose.Complete(&r)
	return []capacity.Result{r}
}
