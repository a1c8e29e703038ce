package profile

import (
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// variation is how a rate varies, in windows and in seconds.
type variation struct {
	sum           float64
	tenth, second distribution
	inSecond      float64 // calls of the second so far
	windowsOfIt   int
}

func newVariation() *variation {
	return &variation{tenth: newDistribution(float64(perSecond)), second: newDistribution(1)}
}

// add takes the calls of the next window.
func (v *variation) add(calls float64) {
	v.sum += calls
	v.tenth.add(calls)
	v.inSecond += calls
	if v.windowsOfIt++; v.windowsOfIt == perSecond {
		v.second.add(v.inSecond)
		v.inSecond, v.windowsOfIt = 0, 0
	}
}

// skip takes n windows without a call.
func (v *variation) skip(n int) {
	v.tenth.skip(n)
	v.second.skip(n / perSecond)
	v.windowsOfIt = n % perSecond
}

func (v *variation) bursts() Bursts {
	b := Bursts{Second: v.second.spread(), Tenth: v.tenth.spread()}
	if v.second.n == 0 { // less than a second: there are no other figures
		b.Second = Spread{P50: b.Tenth.P50, P99: b.Tenth.P99, Max: b.Tenth.Max}
	}
	return b
}

// distribution is of the calls in windows of one length. The quantiles are
// exact to 1 %.
type distribution struct {
	scale     float64 // from calls in a window to calls per second
	histogram *hdrhistogram.Histogram
	n         float64
	max, last float64
	sum       float64
	squares   float64
	products  float64 // of neighbours
	first     float64
}

// mostCalls is the largest value of a histogram: more than any machine makes.
const mostCalls = 1e10

func newDistribution(scale float64) distribution {
	return distribution{scale: scale, histogram: hdrhistogram.New(1, mostCalls, 2)}
}

func (d *distribution) add(calls float64) {
	if d.n == 0 {
		d.first = calls
	} else {
		d.products += d.last * calls
	}
	d.n++
	d.last = calls
	d.sum += calls
	d.squares += calls * calls
	d.max = max(d.max, calls)
	_ = d.histogram.RecordValue(int64(math.Round(min(calls, mostCalls)))) // in range
}

// skip takes n windows without a call.
func (d *distribution) skip(n int) {
	if n > 0 {
		d.n += float64(n)
		_ = d.histogram.RecordValues(0, int64(n)) // in range
	}
}

func (d *distribution) spread() Spread {
	quantile := func(q float64) float64 {
		return round(min(float64(d.histogram.ValueAtQuantile(q)), d.max) * d.scale)
	}
	return Spread{P50: quantile(50), P99: quantile(99), Max: round(d.max * d.scale), Correlation: round(d.correlation())}
}

// correlation is the autocorrelation at lag 1:
//
//	Σ (x[i]-m)(x[i+1]-m) / Σ (x[i]-m)²
//
// with the products written out, as the mean m is known in the end only.
func (d *distribution) correlation() float64 {
	if d.n < 3 {
		return 0
	}
	m := d.sum / d.n
	variance := d.squares - d.n*m*m
	if variance <= 1e-9*d.squares {
		return 0
	}
	covariance := d.products - m*(2*d.sum-d.first-d.last) + (d.n-1)*m*m
	return max(-1, min(1, covariance/variance))
}
