package capacity

import (
	"math"
	"slices"
)

// Median returns the middle of xs, which it does not change; NaN of nothing.
func Median(xs []float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(xs))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
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

// Interval is a median with its confidence interval. Confidence is what the
// interval really has, which grows with the number of values: below six they
// cannot give 95 %, and the interval is from the smallest to the largest.
type Interval struct {
	Median     float64 `json:"median"`
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Confidence float64 `json:"confidence"`
	N          int     `json:"n"`
}

// MedianInterval is the non-parametric interval of the median from order
// statistics: the number of values below the median is binomial(n, 1/2).
func MedianInterval(xs []float64) Interval {
	n := len(xs)
	if n == 0 {
		return Interval{}
	}
	sorted := slices.Sorted(slices.Values(xs))
	// Drop k values on either side as long as 95 % are left.
	k, outside := 0, math.Pow(0.5, float64(n))
	tail := outside
	for k+1 <= (n-1)/2 {
		next := outside * float64(n-k) / float64(k+1)
		if 1-2*(tail+next) < 0.95 {
			break
		}
		outside, tail, k = next, tail+next, k+1
	}
	return Interval{Median: Median(xs), Low: sorted[k], High: sorted[n-1-k], Confidence: max(0, 1-2*tail), N: n}
}

// MannWhitney returns the two-sided p value of the hypothesis that xs and ys
// come from the same distribution (Mann and Whitney, 1947): exact where there
// are no ties and few values, else by the normal approximation with the
// correction for ties.
func MannWhitney(xs, ys []float64) float64 {
	n, m := len(xs), len(ys)
	if n == 0 || m == 0 {
		return 1
	}
	u, ties := 0.0, map[float64]int{}
	for _, x := range xs {
		ties[x]++
		for _, y := range ys {
			switch {
			case x > y:
				u++
			case x == y:
				u += 0.5
			}
		}
	}
	for _, y := range ys {
		ties[y]++
	}
	if len(ties) == n+m && n+m <= 40 {
		return exactU(n, m, int(min(u, float64(n*m)-u)))
	}
	return normalU(n, m, u, ties)
}

// exactU counts the arrangements in which U is at most u, on both sides. The
// number with U = u of n and m values follows f(n,m,u) = f(n-1,m,u-m) +
// f(n,m-1,u).
func exactU(n, m, u int) float64 {
	counts := make([][]float64, m+1) // by m, for the current n
	for j := range counts {
		counts[j] = make([]float64, n*m+1)
		counts[j][0] = 1 // n = 0
	}
	for i := 1; i <= n; i++ {
		next := make([][]float64, m+1)
		for j := range next {
			next[j] = make([]float64, n*m+1)
			for v := 0; v <= i*j; v++ {
				if v >= j {
					next[j][v] = counts[j][v-j]
				}
				if j > 0 {
					next[j][v] += next[j-1][v]
				}
			}
		}
		counts = next
	}
	below, all := 0.0, 0.0
	for v, c := range counts[m] {
		all += c
		if v <= u {
			below += c
		}
	}
	return min(1, 2*below/all)
}

func normalU(n, m int, u float64, ties map[float64]int) float64 {
	total := float64(n + m)
	correction := 0.0
	for _, t := range ties {
		t := float64(t)
		correction += t*t*t - t
	}
	product := float64(n) * float64(m)
	variance := product / 12 * ((total + 1) - correction/(total*(total-1)))
	if variance <= 0 {
		return 1 // all values are the same
	}
	z := (math.Abs(u-product/2) - 0.5) / math.Sqrt(variance)
	return min(1, math.Erfc(max(0, z)/math.Sqrt2))
}
