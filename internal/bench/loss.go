package bench

import "math"

// z95 is the normal quantile of a two-sided 95 % interval.
const z95 = 1.959963984540054

// newLoss is lost of n with its 95 % interval: Wilson's score interval
// (Wilson 1927), which stays within 0 and 1 and is right for small counts,
//
//	(p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)
//
// and the rule of three for the upper bound where nothing was lost: 3/n.
func newLoss(lost, n int) Loss {
	l := Loss{Lost: lost, Of: n}
	if n == 0 {
		l.Upper = 1 // nothing was tried, nothing is known
		return l
	}
	l.Share = float64(lost) / float64(n)
	if lost == 0 {
		l.Upper = math.Min(1, 3/float64(n))
		return l
	}
	p, k, zz := l.Share, float64(n), z95*z95
	centre := p + zz/(2*k)
	half := z95 * math.Sqrt(p*(1-p)/k+zz/(4*k*k))
	l.Lower = math.Max(0, (centre-half)/(1+zz/k))
	l.Upper = math.Min(1, (centre+half)/(1+zz/k))
	return l
}
