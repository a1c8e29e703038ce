package pace

import (
	"fmt"
	"math"
	"sort"
	"time"
)

// Series holds one rate after the other for Each, evenly spaced within it, and
// goes on with the first after the last, without an end.
type Series struct {
	Each time.Duration
	// Ends is how many actions are due by the end of each step, counted from the
	// start of the first.
	Ends []float64
}

var _ OpenLoop = Series{}

// NewSeries makes one of rates per second.
func NewSeries(rates []float64, each time.Duration) Series {
	s := Series{Each: each, Ends: make([]float64, len(rates))}
	var sum float64
	for i, rate := range rates {
		sum += rate * each.Seconds()
		s.Ends[i] = sum
	}
	return s
}

// Pace implements Pacer.
func (s Series) Pace(elapsed time.Duration, n uint64) (time.Duration, bool) {
	return s.Due(n) - elapsed, false
}

// slack is a part of an action: one that is due at the very end of a step, but
// for rounding, is due at the start of the next one that has any.
const slack = 1e-6

// Due is when action n is due, after the start.
func (s Series) Due(n uint64) time.Duration {
	each := s.Ends[len(s.Ends)-1]
	rounds := math.Floor((float64(n) + slack) / each)
	rest := float64(n) + slack - rounds*each
	i := min(sort.Search(len(s.Ends), func(i int) bool { return s.Ends[i] > rest }), len(s.Ends)-1)
	before := 0.0
	if i > 0 {
		before = s.Ends[i-1]
	}
	within := 0.0
	if s.Ends[i] > before {
		within = (rest - before) / (s.Ends[i] - before)
	}
	steps := rounds*float64(len(s.Ends)) + float64(i) + within
	return seconds(steps * s.Each.Seconds())
}

// Step is the step at a time, from 0.
func (s Series) Step(at time.Duration) int {
	return int(max(at, 0)/s.Each) % len(s.Ends)
}

// Planned implements OpenLoop.
func (s Series) Planned(d time.Duration) uint64 {
	if d <= 0 {
		return 0
	}
	steps := int64(d / s.Each)
	rounds, i := steps/int64(len(s.Ends)), int(steps%int64(len(s.Ends)))
	before := 0.0
	if i > 0 {
		before = s.Ends[i-1]
	}
	within := float64(d%s.Each) / float64(s.Each)
	return count(math.Ceil(float64(rounds)*s.Ends[len(s.Ends)-1] + before + within*(s.Ends[i]-before) - slack))
}

// check validates the figures.
func (s Series) check() error {
	if len(s.Ends) == 0 || s.Each <= 0 {
		return fmt.Errorf("series: needs at least one rate and a positive duration")
	}
	before := 0.0
	for i, end := range s.Ends {
		if rate := (end - before) / s.Each.Seconds(); !(rate >= 0) || rate > MaxRate {
			return fmt.Errorf("series: rate of %g actions per second in step %d: must be from 0 to %g", rate, i, float64(MaxRate))
		}
		before = end
	}
	if !(before > 0) {
		return fmt.Errorf("series: no step has a rate")
	}
	return nil
}

func (s Series) scale(share float64) Series {
	scaled := Series{Each: s.Each, Ends: make([]float64, len(s.Ends))}
	for i, end := range s.Ends {
		scaled.Ends[i] = end * share
	}
	return scaled
}
