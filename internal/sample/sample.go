// Package sample provides statistics for small samples: the median with its
// interval, whether two samples differ, and bounds for a share that was seen k
// times in n. It assumes no distribution.
package sample

import (
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// confidence is the level of every interval, and of the tests.
const confidence = 0.95

// Median returns the middle of xs, which it does not change; NaN of nothing.
func Median(xs []float64) float64 {
	return benchmath.AssumeNothing.Summary(of(xs), confidence).Center
}

// Quantile returns the q quantile of xs by the nearest rank, which is a value
// that did occur; NaN of nothing.
func Quantile(xs []float64, q float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(xs))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Interval is a median with its confidence interval. Confidence is the
// interval's actual confidence: fewer than six values cannot give 95 %, and the
// interval is from the smallest to the largest.
type Interval struct {
	Median     float64 `json:"median"`
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Confidence float64 `json:"confidence"`
	N          int     `json:"n"`
}

// MedianInterval is the interval of the median from order statistics; the zero
// Interval of nothing.
func MedianInterval(xs []float64) Interval {
	n := len(xs)
	if n == 0 {
		return Interval{}
	}
	s := benchmath.AssumeNothing.Summary(of(xs), confidence)
	i := Interval{Median: s.Center, Low: s.Lo, High: s.Hi, Confidence: s.Confidence, N: n}
	if math.IsInf(i.Low, 0) || math.IsInf(i.High, 0) {
		// The median is outside of all values with probability 2/2^n.
		i.Low, i.High, i.Confidence = slices.Min(xs), slices.Max(xs), 1-math.Pow(2, float64(1-n))
	}
	return i
}

// Difference returns the two-sided p value of the hypothesis that xs and ys
// come from the same distribution (the test of Mann and Whitney); 1 where
// either is empty or all values are the same.
func Difference(xs, ys []float64) float64 {
	// With ties the library's exact p depends on which side comes first, and
	// may exceed 1: the larger one claims less.
	one := benchmath.AssumeNothing.Compare(of(xs), of(ys)).P
	other := benchmath.AssumeNothing.Compare(of(ys), of(xs)).P
	return min(1, max(one, other))
}

// of copies xs, since benchmath sorts its input.
func of(xs []float64) *benchmath.Sample {
	return benchmath.NewSample(slices.Clone(xs), &benchmath.DefaultThresholds)
}

// z95 is the normal quantile of a two-sided 95 % interval.
const z95 = 1.959963984540054

// RuleOfThree is the 95 % upper bound of a share of which nothing was seen in
// n tries (Hanley and Lippman-Hand, 1983); 1 without a try.
func RuleOfThree(n int) float64 {
	if n <= 0 {
		return 1
	}
	return min(1, 3/float64(n))
}

// Share returns the 95 % interval of a share that was seen k times in n tries:
// Wilson's score interval (Wilson 1927), which stays within 0 and 1 and is
// right for small counts,
//
//	(p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)
//
// and the rule of three where nothing was seen.
func Share(k, n int) (low, high float64) {
	if k == 0 || n <= 0 {
		return 0, RuleOfThree(n)
	}
	p, of, zz := float64(k)/float64(n), float64(n), z95*z95
	centre := p + zz/(2*of)
	half := z95 * math.Sqrt(p*(1-p)/of+zz/(4*of*of))
	return max(0, (centre-half)/(1+zz/of)), min(1, (centre+half)/(1+zz/of))
}
