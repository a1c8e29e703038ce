package metrics

import (
	"slices"
	"sync/atomic"
	"time"
)

// Bounds are the upper ends of a Histogram's buckets, inclusive; one more
// bucket takes longer ones.
var Bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 60 * time.Second,
}

// Histogram counts durations. It may be observed by several goroutines; the
// zero value is empty.
type Histogram struct {
	counts [len(Bounds) + 1]atomic.Uint64
	sum    atomic.Int64
}

// Observe counts n events that took d.
func (h *Histogram) Observe(d time.Duration, n uint64) {
	i := 0
	for i < len(Bounds) && d > Bounds[i] {
		i++
	}
	h.counts[i].Add(n)
	h.sum.Add(int64(d) * int64(n))
}

// Read returns the counts of now.
func (h *Histogram) Read() Latency {
	l := Latency{Counts: make([]uint64, len(h.counts)), Sum: time.Duration(h.sum.Load())}
	for i := range h.counts {
		l.Counts[i] = h.counts[i].Load()
	}
	return l
}

// Latency is a Histogram at one moment. Counts has a number for each of
// Bounds and one for longer durations.
type Latency struct {
	Counts []uint64      `json:"counts"`
	Sum    time.Duration `json:"sum"`
}

// Plus is the sum of two histograms; one without counts is empty.
func (l Latency) Plus(o Latency) Latency {
	if l.Counts == nil {
		return o
	}
	l.Counts = slices.Clone(l.Counts)
	for i, n := range o.Counts {
		l.Counts[i] += n
	}
	l.Sum += o.Sum
	return l
}

// Total is the number of durations counted.
func (l Latency) Total() (n uint64) {
	for _, c := range l.Counts {
		n += c
	}
	return n
}

// Quantile is the bucket bound that a share q of the durations does not
// exceed; 0 without durations. Longer ones count as the last bound.
func (l Latency) Quantile(q float64) time.Duration {
	rank, seen := q*float64(l.Total()), uint64(0)
	for i, c := range l.Counts {
		if seen += c; c > 0 && float64(seen) >= rank {
			return Bounds[min(i, len(Bounds)-1)]
		}
	}
	return 0
}
