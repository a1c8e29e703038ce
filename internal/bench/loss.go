package bench

import "github.com/peregrine-sec/peregrine/internal/sample"

// newLoss is lost of n with its 95 % interval.
func newLoss(lost, n int) Loss {
	l := Loss{Lost: lost, Of: n}
	if n > 0 {
		l.Share = float64(lost) / float64(n)
	}
	l.Lower, l.Upper = sample.Share(lost, n)
	return l
}
