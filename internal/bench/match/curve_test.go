package match

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestCurveQuantile(t *testing.T) {
	for i, want := range map[int]float64{0: 0, 4: 0.5, 8: 0.75, 40: 1 - 1.0/1024} {
		if got := CurveQuantile(i); math.Abs(got-want) > 1e-12 {
			t.Errorf("element %d: %g, want %g", i, got, want)
		}
	}
	if NewHistogram().Curve() != nil {
		t.Error("nothing has a curve")
	}
}

// Each element of a curve bounds its share of the durations, within the
// histogram's precision, and none smaller would.
func TestCurve(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(1, 1e10), 1, 300).Draw(t, "ns")
		h := NewHistogram()
		for _, v := range values {
			h.Add(v)
		}
		slices.Sort(values)
		curve := h.Curve()
		if !slices.IsSorted(curve) {
			t.Fatalf("not rising: %v", curve)
		}
		near := func(a, b int64) bool { return math.Abs(float64(a-b)) <= 0.002*float64(b)+1 }
		for i, got := range curve {
			rank := max(1, int(math.Ceil(CurveQuantile(i)*float64(len(values))-1e-6)))
			if want := values[rank-1]; !near(got, want) {
				t.Fatalf("element %d of %v is %d, want %d", i, values, got, want)
			}
		}
		if last := curve[len(curve)-1]; !near(last, values[len(values)-1]) {
			t.Fatalf("it ends at %d, not the longest", last)
		}
	})
}
