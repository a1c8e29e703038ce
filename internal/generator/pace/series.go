package pace

import (
	"fmt"
	"math"
	"sort"
	"time"
)

// Series holds one rate after the other for Each, evenly spaced within it, and
// goes on with the first after the last, without an end. Before them in each step
// is a burst of actions that are due at once.
type Series struct {
	Each time.Duration
	// Ends is how many actions are due by the end of each step, counted from the
	// start of the first.
	Ends []float64
	// Bursts are how many of them are due at the start of each step: whole numbers.
	Bursts []float64
}

var _ OpenLoop = Series{}

// NewSeries makes one of rates per second, and of bursts, which may be missing.
func NewSeries(rates, bursts []float64, each time.Duration) Series {
	s := Series{Each: each, Ends: make([]float64, len(rates)), Bursts: make([]float64, len(rates))}
	copy(s.Bursts, bursts)
	var sum float64
	for i, rate := range rates {
		sum += rate*each.Seconds() + s.Bursts[i]
		s.Ends[i] = sum
	}
	return s
}

func (s Series) Pace(elapsed time.Duration, n uint64) (time.Duration, bool) {
	return s.Due(n) - elapsed, false
}

// slack is a part of an action: one that is due at the very end of a step, but
// for rounding, is due at the start of the next one that has any.
const slack = 1e-6

// Place is where in the schedule an action is: its step, in which round of all
// steps, and how many actions of the step come before it. Those are not a whole
// number, as those of a step need not be.
type Place struct {
	Round  float64
	Step   int
	Before float64
}

// Place is that of action n.
func (s Series) Place(n uint64) Place {
	each := s.Ends[len(s.Ends)-1]
	rounds := math.Floor((float64(n) + slack) / each)
	rest := float64(n) + slack - rounds*each
	i := min(sort.Search(len(s.Ends), func(i int) bool { return s.Ends[i] > rest }), len(s.Ends)-1)
	return Place{rounds, i, rest - s.start(i)}
}

// start is how many actions are due before a step.
func (s Series) start(step int) float64 {
	if step == 0 {
		return 0
	}
	return s.Ends[step-1]
}

// Within says where a place is among the evenly spaced ones of its step, from 0
// to 1: 0 in the burst.
func (s Series) Within(p Place) float64 {
	if even := s.Ends[p.Step] - s.start(p.Step) - s.Bursts[p.Step]; even > 0 {
		return max(0, (p.Before-s.Bursts[p.Step])/even)
	}
	return 0
}

// Due is when action n is due, after the start.
func (s Series) Due(n uint64) time.Duration {
	p := s.Place(n)
	steps := p.Round*float64(len(s.Ends)) + float64(p.Step) + s.Within(p)
	return seconds(steps * s.Each.Seconds())
}

// Step is the step at a time, from 0.
func (s Series) Step(at time.Duration) int {
	return int(max(at, 0)/s.Each) % len(s.Ends)
}

func (s Series) Planned(d time.Duration) uint64 {
	if d <= 0 {
		return 0
	}
	steps := int64(d / s.Each)
	rounds, i := steps/int64(len(s.Ends)), int(steps%int64(len(s.Ends)))
	due := s.start(i)
	if within := float64(d%s.Each) / float64(s.Each); within > 0 {
		due += s.Bursts[i] + within*(s.Ends[i]-due-s.Bursts[i])
	}
	return count(math.Ceil(float64(rounds)*s.Ends[len(s.Ends)-1] + due - slack))
}

// check validates the figures.
func (s Series) check() error {
	if len(s.Ends) == 0 || len(s.Bursts) != len(s.Ends) || s.Each <= 0 {
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
	scaled := Series{s.Each, make([]float64, len(s.Ends)), make([]float64, len(s.Ends))}
	for i, end := range s.Ends {
		scaled.Ends[i], scaled.Bursts[i] = end*share, s.Bursts[i]*share
	}
	return scaled
}
