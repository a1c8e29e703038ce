package pace

import (
	"fmt"
	"math"
	"sort"
	"time"
)

// Series holds one rate after the other for Each, evenly spaced within it, and
// goes on with the first after the last, without an end. Between them are actions
// with times of their own.
type Series struct {
	Each time.Duration
	// Ends is how many actions are due by the end of each step, counted from the
	// start of the first.
	Ends []float64
	// Timed are those of them, in each step, that are due at a time of their own:
	// in order, in shares of the step.
	Timed [][]float64
}

var _ OpenLoop = Series{}

// NewSeries makes one of rates per second, and of timed actions, which may lack.
func NewSeries(rates []float64, timed [][]float64, each time.Duration) Series {
	s := Series{Each: each, Ends: make([]float64, len(rates)), Timed: make([][]float64, len(rates))}
	copy(s.Timed, timed)
	var sum float64
	for i, rate := range rates {
		sum += rate*each.Seconds() + float64(len(s.Timed[i]))
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

// Place is where in the schedule an action is.
type Place struct {
	Round float64 // of all steps
	Step  int
	// Timed is its number among the timed ones of the step; -1 for one of the
	// evenly spaced.
	Timed int
	// Within is when it is due, in shares of the step.
	Within float64
}

// Place is that of action n.
//
// Among evenly spaced actions, e in a step, the timed one with number i at the
// time t has the places from e t + i to e t + i + 1, in which is one action,
// whatever fraction is left of the steps before.
func (s Series) Place(n uint64) Place {
	each := s.Ends[len(s.Ends)-1]
	rounds := math.Floor((float64(n) + slack) / each)
	rest := float64(n) + slack - rounds*each
	step := min(sort.Search(len(s.Ends), func(i int) bool { return s.Ends[i] > rest }), len(s.Ends)-1)
	p := Place{Round: rounds, Step: step, Timed: -1}
	before := rest - s.start(step)
	timed := s.Timed[step]
	even := s.even(step)
	i := sort.Search(len(timed), func(i int) bool { return even*timed[i]+float64(i)+1 > before })
	switch {
	case i < len(timed) && (even*timed[i]+float64(i) <= before || even < slack):
		p.Timed, p.Within = i, timed[i]
	case even > 0:
		p.Within = max(0, (before-float64(i))/even)
	}
	return p
}

// even is how many actions of a step are evenly spaced.
func (s Series) even(step int) float64 {
	return max(0, s.Ends[step]-s.start(step)-float64(len(s.Timed[step])))
}

// start is how many actions are due before a step.
func (s Series) start(step int) float64 {
	if step == 0 {
		return 0
	}
	return s.Ends[step-1]
}

// Due is when action n is due, after the start.
func (s Series) Due(n uint64) time.Duration {
	p := s.Place(n)
	steps := p.Round*float64(len(s.Ends)) + float64(p.Step) + p.Within
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
		due += within*s.even(i) + float64(sort.SearchFloat64s(s.Timed[i], within))
	}
	return count(math.Ceil(float64(rounds)*s.Ends[len(s.Ends)-1] + due - slack))
}

// check validates the figures.
func (s Series) check() error {
	if len(s.Ends) == 0 || len(s.Timed) != len(s.Ends) || s.Each <= 0 {
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

// scale has the timed ones among the others: a share of them would be no whole
// number.
func (s Series) scale(share float64) Series {
	scaled := Series{s.Each, make([]float64, len(s.Ends)), make([][]float64, len(s.Ends))}
	for i, end := range s.Ends {
		scaled.Ends[i] = end * share
	}
	return scaled
}
