package capacity

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func near(a, b, tolerance float64) bool {
	return math.Abs(a-b) <= tolerance || (math.IsNaN(a) && math.IsNaN(b))
}

func TestMedianAndQuantile(t *testing.T) {
	xs := []float64{5, 1, 3, 2}
	if got := Median(xs); got != 2.5 {
		t.Errorf("median %v", got)
	}
	for q, want := range map[float64]float64{0: 1, 0.25: 1, 0.5: 2, 0.75: 3, 0.95: 5, 1: 5} {
		if got := Quantile(xs, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if !math.IsNaN(Median(nil)) || !math.IsNaN(Quantile(nil, 0.5)) {
		t.Error("a median of nothing")
	}
	if xs[0] != 5 {
		t.Error("the input was sorted")
	}
}

// The confidence of the interval from the smallest to the largest of n values
// is 1-2^(1-n); of ten values, the second to the ninth have 97.9 %.
func TestMedianInterval(t *testing.T) {
	for n, want := range map[int]Interval{
		1:  {1, 1, 1, 0, 1},
		3:  {2, 1, 3, 0.75, 3},
		5:  {3, 1, 5, 0.9375, 5},
		6:  {3.5, 1, 6, 0.96875, 6},
		10: {5.5, 2, 9, 0.978515625, 10},
	} {
		var xs []float64
		for i := range n {
			xs = append(xs, float64(i+1))
		}
		if got := MedianInterval(xs); got != want {
			t.Errorf("%d values: %+v, want %+v", n, got, want)
		}
	}
}

// The smallest p of two samples that do not overlap: 3 against 3 gives 0.1, 4
// against 4 0.029, 5 against 5 0.008.
func TestMannWhitneyExact(t *testing.T) {
	for n, want := range map[int]float64{3: 0.1, 4: 2.0 / 70, 5: 2.0 / 252} {
		var low, high []float64
		for i := range n {
			low, high = append(low, float64(i)), append(high, float64(i+100))
		}
		if got := MannWhitney(low, high); !near(got, want, 1e-12) {
			t.Errorf("%d against %d: p = %v, want %v", n, n, got, want)
		}
	}
	if got := MannWhitney([]float64{1, 2, 3}, []float64{1, 2, 3}); got < 0.9 {
		t.Errorf("a sample against itself: p = %v", got)
	}
	if got := MannWhitney([]float64{1, 1}, []float64{1, 1, 1}); got != 1 {
		t.Errorf("all the same: p = %v", got)
	}
	if got := MannWhitney(nil, []float64{1}); got != 1 {
		t.Errorf("nothing: p = %v", got)
	}
}

func TestMannWhitneyProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Float64Range(-1000, 1000)
		xs, ys := rapid.SliceOfN(value, 1, 30).Draw(t, "xs"), rapid.SliceOfN(value, 1, 30).Draw(t, "ys")
		p, q := MannWhitney(xs, ys), MannWhitney(ys, xs)
		if !near(p, q, 1e-9) || p < 0 || p > 1 {
			t.Fatalf("p = %v one way and %v the other", p, q)
		}
	})
}

// Both ways to the p value agree where both are good.
func TestMannWhitneyApproximation(t *testing.T) {
	for u := range 200 {
		exact, approximate := exactU(20, 20, u), normalU(20, 20, float64(u), nil)
		if !near(exact, approximate, 0.01) {
			t.Errorf("U = %d: exact %v, approximate %v", u, exact, approximate)
		}
	}
}
