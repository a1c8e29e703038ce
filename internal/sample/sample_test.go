package sample

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func near(a, b, tolerance float64) bool {
	return math.Abs(a-b) <= tolerance || (math.IsNaN(a) && math.IsNaN(b))
}

func TestMedianAndQuantile(t *testing.T) {
	xs := []float64{5, 1, 3, 2}
	if got := Median(xs); got != 2.5 {
		t.Errorf("median %v", got)
	}
	if got := Median(xs[:1]); got != 5 {
		t.Errorf("median of 5: %v", got)
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
		0:  {},
		1:  {1, 1, 1, 0, 1},
		3:  {2, 1, 3, 0.75, 3},
		5:  {3, 1, 5, 0.9375, 5},
		6:  {3.5, 1, 6, 0.96875, 6},
		9:  {5, 2, 8, 0.9609375, 9}, // as the usual table of such intervals has it
		10: {5.5, 2, 9, 0.978515625, 10},
		11: {6, 2, 9, 0.96142578125, 11}, // the shortest with 95 %: it need not be symmetric
		12: {6.5, 3, 10, 0.96142578125, 12},
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

func TestMedianIntervalProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		xs := rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 1, 40).Draw(t, "xs")
		i := MedianInterval(xs)
		if i.Low > i.Median || i.Median > i.High || i.Confidence < 0 || i.Confidence > 1 || i.N != len(xs) {
			t.Fatalf("%+v of %v", i, xs)
		}
	})
}

// The smallest p of two samples that do not overlap: 3 against 3 gives 0.1, 4
// against 4 0.029, 5 against 5 0.008.
func TestDifference(t *testing.T) {
	for n, want := range map[int]float64{3: 0.1, 4: 2.0 / 70, 5: 2.0 / 252} {
		var low, high []float64
		for i := range n {
			low, high = append(low, float64(i)), append(high, float64(i+100))
		}
		if got := Difference(low, high); !near(got, want, 1e-12) {
			t.Errorf("%d against %d: p = %v, want %v", n, n, got, want)
		}
	}
	if got := Difference([]float64{1, 2, 3}, []float64{1, 2, 3}); got < 0.9 {
		t.Errorf("a sample against itself: p = %v", got)
	}
	if got := Difference([]float64{1, 1}, []float64{1, 1, 1}); got != 1 {
		t.Errorf("all the same: p = %v", got)
	}
	if got := Difference(nil, []float64{1}); got != 1 {
		t.Errorf("nothing: p = %v", got)
	}
}

func TestDifferenceProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Float64Range(-1000, 1000)
		xs, ys := rapid.SliceOfN(value, 1, 30).Draw(t, "xs"), rapid.SliceOfN(value, 1, 30).Draw(t, "ys")
		p, q := Difference(xs, ys), Difference(ys, xs)
		if !near(p, q, 1e-9) || p < 0 || p > 1 {
			t.Fatalf("p = %v one way and %v the other", p, q)
		}
	})
}

func TestShare(t *testing.T) {
	for _, tt := range []struct {
		k, n      int
		low, high float64
	}{
		{0, 0, 0, 1},
		{0, 43371, 0, 0.0000692},
		{0, 2, 0, 1},
		{1, 0, 0, 1},
		{1, 10, 0.0178762, 0.4041500}, // as tables have it
		{50, 100, 0.4038315, 0.5961685},
		{10, 10, 0.7224672, 1},
	} {
		low, high := Share(tt.k, tt.n)
		if !near(low, tt.low, 1e-6) || !near(high, tt.high, 1e-6) {
			t.Errorf("%d of %d: %v to %v, want %v to %v", tt.k, tt.n, low, high, tt.low, tt.high)
		}
	}
}

func TestWorst(t *testing.T) {
	all := []Change{Better, Same, Unsure, Missing, Worse} // from good to bad
	for i, a := range all {
		for j, b := range all {
			if got := Worst(a, b); got != all[max(i, j)] {
				t.Errorf("%s and %s: %s", a, b, got)
			}
		}
	}
}
