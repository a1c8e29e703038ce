package sample

import "math"

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
