package human

import (
	"math"
	"testing"
)

func TestSparkline(t *testing.T) {
	for want, test := range map[string]struct {
		values []float64
		peak   float64
	}{
		"":     {nil, 1},
		" ▁▄█": {[]float64{0, 1e-9, 0.5, 1}, 1},
		"▄█":   {[]float64{50, 100}, 100},
		"█ ":   {[]float64{5, math.NaN()}, 1},
		"  ":   {[]float64{1, -1}, 0},
	} {
		if got := Sparkline(test.values, test.peak); got != want {
			t.Errorf("%v up to %g: %q, want %q", test.values, test.peak, got, want)
		}
	}
}
