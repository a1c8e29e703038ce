// Package search finds the highest rate that a sensor takes: doubling until a
// failure, bisection, and a long round at the result, which decides. It sees
// outcomes only, and acts through the function that it is given.
package search

import (
	"context"
	"math"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
)

// Try performs one trial at target operations per second.
type Try func(ctx context.Context, phase capacity.Phase, target float64, length time.Duration) (Observation, error)

// trial is a trial as the search remembers it.
type trial struct {
	target float64
	length time.Duration
	Observation
}

// rate is the load that a trial has tested: the offered rate, since a generator
// that fell behind has tested no more.
func (t trial) rate() float64 { return min(t.target, t.Offered) }

// Search is one search.
type Search struct {
	plan     capacity.Plan
	try      Try
	now      func() time.Time
	deadline time.Time
	spare    time.Duration // the part of the time until deadline that later rows may use
	cost     time.Duration // of a trial beside its length, at most so far
	trials   []trial
	unsteady bool
	limited  bool // by the generator
}

// usualCost is the time of a trial beside its length: setting up, draining.
const usualCost = time.Second

// New prepares a search. now is the clock that the budget is measured with: no
// trial begins that does not fit into it, and while there is no long pass, the
// time for one is kept.
func New(plan capacity.Plan, now func() time.Time, try Try) *Search {
	return &Search{plan: plan, try: try, now: now, deadline: now().Add(plan.Budget), cost: usualCost}
}

// Run finds the highest clean rate.
func (s *Search) Run(ctx context.Context) (Found, error) {
	err := s.ramp(ctx)
	if err == nil && !s.limited {
		err = s.bisect(ctx, capacity.Bisect, s.clean, s.plan.Bisect)
	}
	if err == nil {
		err = s.confirm(ctx)
	}
	if err == nil && !s.limited {
		err = s.refine(ctx)
	}
	if err == nil {
		s.spare = s.plan.Spare
		err = s.tolerate(ctx)
	}
	return s.found(), err
}

// Wide says that the result is less precise than about twice the plan's
// precision, which is the first step down of long rounds: between long rounds,
// or above a long pass when time ran out.
func (s *Search) Wide() bool {
	long := s.bound(s.clean, s.plan.Confirm)
	if long.Upper == 0 {
		all := s.bound(s.clean, 0)
		return long.Lower > 0 && all.Upper > long.Lower && !s.within(capacity.Bound{Lower: long.Lower, Upper: all.Upper}, 2.2*s.plan.Precision)
	}
	return !s.within(long, 2.2*s.plan.Precision)
}

// More continues a search with a wide bound, for the time of another budget.
func (s *Search) More(ctx context.Context, budget time.Duration) (Found, error) {
	s.deadline, s.spare = s.now().Add(budget), 0
	if long := s.bound(s.clean, s.plan.Confirm); long.Lower > 0 && long.Upper == 0 {
		err := s.refine(ctx)
		return s.found(), err
	}
	err := s.confirm(ctx)
	return s.found(), err
}

// refine uses time that is left to narrow the bracket above a long pass, where
// the bisection stopped early to keep time for a second long round.
func (s *Search) refine(ctx context.Context) error {
	long := s.bound(s.clean, s.plan.Confirm)
	if long.Lower == 0 || long.Upper > 0 {
		return nil
	}
	if err := s.bisect(ctx, capacity.Bisect, s.clean, s.plan.Bisect, s.plan.Confirm); err != nil {
		return err
	}
	if s.bound(s.clean, 0).Lower <= long.Lower {
		return nil
	}
	return s.confirm(ctx)
}

// tolerate looks for the partial-drop rate, which is above the first failure
// where the loss grows slowly.
func (s *Search) tolerate(ctx context.Context) error {
	for s.bound(s.clean, 0).Upper > 0 && s.fits(s.plan.Ramp) {
		b := s.bound(s.partial, 0)
		if b.Upper > 0 || b.Lower == 0 || b.Lower >= s.plan.Ceiling {
			break
		}
		t, err := s.once(ctx, capacity.Partial, min(2*b.Lower, s.plan.Ceiling), s.plan.Ramp)
		if err != nil {
			return err
		}
		if t.Limited {
			break
		}
	}
	return s.bisect(ctx, capacity.Partial, s.partial, s.plan.Bisect)
}

// once performs a trial and remembers it.
func (s *Search) once(ctx context.Context, phase capacity.Phase, target float64, length time.Duration) (trial, error) {
	began := s.now()
	o, err := s.try(ctx, phase, target, length)
	if err != nil {
		return trial{}, err
	}
	s.cost = max(s.cost, s.now().Sub(began)-o.Accident-length)
	t := trial{target, length, o}
	s.trials = append(s.trials, t)
	return t, nil
}

// attempt is a trial that chance cannot fail: a marginal failure is tried
// twice more, and the majority decides. All tries stay in the record.
func (s *Search) attempt(ctx context.Context, phase capacity.Phase, target float64, length time.Duration) (trial, error) {
	first, err := s.once(ctx, phase, target, length)
	if err != nil || first.Clean || !first.Marginal {
		return first, err
	}
	passed, last := 0, first
	for range 2 {
		if !s.fits(length, length) {
			return first, nil
		}
		last, err = s.once(ctx, phase, target, length)
		if err != nil {
			return last, err
		}
		if !last.Clean {
			break // two failures of at most three
		}
		passed++
	}
	s.unsteady = s.unsteady || passed > 0
	if passed < 2 {
		return first, nil
	}
	s.forgive(target)
	return last, nil
}

// forgive takes the marginal failures at a target out of the bounds, after
// the majority there has passed.
func (s *Search) forgive(target float64) {
	for i := range s.trials {
		if t := &s.trials[i]; t.target == target && t.Marginal && t.length < s.plan.Confirm {
			t.Clean, t.Partial = true, true
		}
	}
}

// fits says whether there is time for trials of these lengths. While no long
// trial has passed, time for one is kept; for two once short trials could
// improve little, since a rate that passes for seconds often fails within a
// minute. A budget without room for that is spent on short trials.
func (s *Search) fits(lengths ...time.Duration) bool {
	if s.plan.Budget > s.plan.Confirm+2*s.plan.Ramp && s.bound(s.clean, s.plan.Confirm).Lower == 0 && lengths[0] < s.plan.Confirm {
		lengths = append(lengths, s.plan.Confirm)
		if s.within(s.bound(s.clean, 0), 2*s.plan.Precision) {
			lengths = append(lengths, s.plan.Confirm)
		}
	}
	left := s.deadline.Sub(s.now()) - s.spare
	for _, length := range lengths {
		left -= length + s.cost
	}
	return left >= 0
}

// ramp doubles the rate until the first failure, or until the generator
// falls behind twice in a row, which is its limit. If the first rate fails
// already, it goes down instead.
func (s *Search) ramp(ctx context.Context) error {
	const lowest = 4096 // of the start rate
	behind := 0
	for rate := s.plan.Start; len(s.trials) == 0 || s.fits(s.plan.Ramp); {
		t, err := s.attempt(ctx, capacity.Ramp, rate, s.plan.Ramp)
		if err != nil {
			return err
		}
		known := s.bound(s.clean, 0)
		switch {
		case t.Clean && known.Upper > 0, !t.Clean && known.Lower > 0:
			return nil
		case !t.Clean:
			rate /= 4
			if rate < s.plan.Start/lowest {
				return nil
			}
		case t.Limited:
			if behind++; behind == 2 || rate >= s.plan.Ceiling {
				s.limited = true
				return nil
			}
			rate = min(2*rate, s.plan.Ceiling)
		case rate >= s.plan.Ceiling:
			s.limited = true
			return nil
		default:
			behind = 0
			rate = min(2*rate, s.plan.Ceiling)
		}
	}
	return nil
}

// bisect halves the bracket of a goal, on a logarithmic scale, until it is as
// narrow as the plan asks, or there is no time for a trial of the first length
// and the others after it.
func (s *Search) bisect(ctx context.Context, phase capacity.Phase, goal passes, lengths ...time.Duration) error {
	for {
		b := s.bound(goal, 0)
		if b.Upper == 0 || b.Lower == 0 || s.close(b) || !s.fits(lengths...) {
			return nil
		}
		middle := math.Sqrt(b.Lower * b.Upper)
		t, err := s.attempt(ctx, phase, middle, lengths[0])
		if err != nil {
			return err
		}
		// A generator that cannot reach the middle cannot narrow the bracket.
		stuck := t.Limited && t.rate() < b.Lower*(1+s.plan.Precision/2)
		if after := s.bound(goal, 0); stuck || (after.Lower == b.Lower && after.Upper == b.Upper) {
			return nil
		}
	}
}

// confirm tries long rounds until one passes that is close enough to one that
// failed, or above which nothing did.
func (s *Search) confirm(ctx context.Context) error {
	if s.bound(s.clean, 0).Lower == 0 && s.bound(s.clean, s.plan.Confirm).Upper == 0 {
		return nil // nothing to confirm
	}
	for s.fits(s.plan.Confirm) {
		rate := s.longRate()
		if rate < 1 {
			return nil
		}
		if _, err := s.once(ctx, capacity.Confirm, rate, s.plan.Confirm); err != nil {
			return err
		}
		long := s.bound(s.clean, s.plan.Confirm)
		if long.Lower > 0 {
			s.spare = s.plan.Spare
		}
		if long.Lower > 0 && (long.Upper == 0 || s.close(long)) {
			return nil
		}
	}
	return nil
}

// longRate is the rate of the next long round: first the bisection's result,
// then lower by steps that double, twice the precision at first (a rate that
// fails only within a minute is mostly further off than one that fails at
// once), then between passes and failures.
func (s *Search) longRate() float64 {
	long := s.bound(s.clean, s.plan.Confirm)
	switch {
	case long.Upper == 0 && s.limited:
		return 0.9 * s.target(s.bound(s.clean, 0)) // a generator at its limit leaves no CPU
	case long.Upper == 0:
		return s.target(s.bound(s.clean, 0))
	case long.Lower > 0:
		return math.Sqrt(long.Lower * long.Upper)
	}
	step := s.plan.Precision
	for _, t := range s.trials {
		if t.length >= s.plan.Confirm { // all have failed
			step = min(2*step, 0.5)
		}
	}
	// A sensor that falls behind loses more than the excess of the rate: rounds
	// of seconds would have shown an excess.
	return long.Upper * (1 - max(step, min(s.trials[long.UpperTrial].Loss/2, 0.9)))
}

// target is the rate that repeats a bound's passing trial: where the generator
// was behind, the rate that it managed is enough.
func (s *Search) target(b capacity.Bound) float64 {
	t := s.trials[b.LowerTrial]
	return min(t.target, t.Offered)
}

// Observation holds the facts about a trial that a search needs.
type Observation struct {
	Offered float64 // operations per second that the generator managed
	Clean   bool    // nothing was lost and no queue grew
	Partial bool    // no more was lost than capacity.Plan.Partial
	Loss    float64 // share of events or alerts that was lost
	// Marginal says that a failure was close enough to chance to be tried
	// again.
	Marginal bool
	// Limited says that the generator fell behind, so that a clean trial
	// proves a lower bound only.
	Limited bool
	// Accident is how much of the time went into rounds that had to be
	// repeated through no fault of the load.
	Accident time.Duration
}
