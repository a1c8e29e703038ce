// Package search finds the highest rate that a sensor takes: doubling until a
// failure, bisection, and a long round at the result, which decides. It sees
// outcomes only, and acts through the function that it is given.
package search

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
)

// Try performs one trial at target operations per second.
type Try func(ctx context.Context, phase capacity.Phase, target float64, length time.Duration) (Outcome, error)

// Found is the end of a search.
type Found struct {
	Status   capacity.Status
	NDR, PDR capacity.Bound
	// Unsteady says that the same rate has both passed and failed.
	Unsteady bool
}

// trial is a trial as the search remembers it.
type trial struct {
	target float64
	length time.Duration
	Outcome
}

// rate is where on the axis of load a trial belongs: at what was offered,
// since a generator that is behind has tested no more than that.
func (t trial) rate() float64 { return min(t.target, t.Offered) }

// Search is one search.
type Search struct {
	plan     capacity.Plan
	try      Try
	now      func() time.Time
	deadline time.Time
	spare    time.Duration // of the time until deadline, what may be left to others
	cost     time.Duration // of a trial beside its length, at most so far
	trials   []trial
	unsteady bool
	limited  bool // by the generator
}

// usualCost is what a trial takes beside its length: setting up, draining.
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

// Wide says that more is left open than twice the precision, which is the
// first step down of long rounds, and a little: between long rounds, or above
// a long pass, where nothing was tried for want of time.
func (s *Search) Wide() bool {
	long := s.bound(s.clean, s.plan.Confirm)
	if long.Upper == 0 {
		all := s.bound(s.clean, 0)
		return long.Lower > 0 && all.Upper > long.Lower && !s.within(capacity.Bound{Lower: long.Lower, Upper: all.Upper}, 2.2*s.plan.Precision)
	}
	return !s.within(long, 2.2*s.plan.Precision)
}

// More goes on where it is wide, for so much longer.
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
// twice more, and the majority decides. What was found stays in the record.
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

// fits says whether there is time for trials of these lengths, and for a long
// one after them as long as none has passed; where a short one could improve
// little, for two, as what passes for seconds often does not for a minute. A
// budget without room for that is used for short ones.
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

// passes says whether a trial meets a goal.
type passes func(trial) bool

func (s *Search) clean(t trial) bool   { return t.Clean }
func (s *Search) partial(t trial) bool { return t.Partial }

// bound is what the trials of at least a length say about a goal. A pass
// counts only below the lowest failure: what passes above a failure was luck.
func (s *Search) bound(goal passes, length time.Duration) capacity.Bound {
	b := capacity.Bound{LowerTrial: -1, UpperTrial: -1}
	for i, t := range s.trials {
		if !goal(t) && t.length >= length && (b.UpperTrial < 0 || t.rate() < b.Upper) {
			b.Upper, b.UpperTrial = t.rate(), i
		}
	}
	for i, t := range s.trials {
		if !goal(t) || t.length < length || (b.UpperTrial >= 0 && t.rate() >= b.Upper) {
			continue
		}
		// Of two trials at the same rate the longer one is the better proof.
		if b.LowerTrial < 0 || t.rate() > b.Lower || (t.rate() == b.Lower && t.length >= s.trials[b.LowerTrial].length) {
			b.Lower, b.LowerTrial = t.rate(), i
		}
	}
	return b
}

// close says whether the bounds are as near as the plan asks: the lower one
// is at most Precision below the upper one.
func (s *Search) close(b capacity.Bound) bool { return s.within(b, s.plan.Precision) }

func (s *Search) within(b capacity.Bound, precision float64) bool {
	return b.Lower > 0 && b.Upper > 0 && b.Upper*(1-precision) <= b.Lower*(1+1e-9)
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
// then lower by steps that double, twice the precision at first (what does not
// last for a minute is mostly further off than what fails at once), then
// between what passed and what failed.
func (s *Search) longRate() float64 {
	long := s.bound(s.clean, s.plan.Confirm)
	switch {
	case long.Upper == 0 && s.limited:
		return 0.9 * s.target(s.bound(s.clean, 0)) // a generator at its limit leaves nobody any CPU
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
	// What a sensor loses once it is behind is more than what it was asked too
	// much: rounds of seconds would have shown that.
	return long.Upper * (1 - max(step, min(s.trials[long.UpperTrial].Loss/2, 0.9)))
}

// target is the rate to ask for to repeat a bound's passing trial: where the
// generator was behind, asking for what it managed is enough.
func (s *Search) target(b capacity.Bound) float64 {
	t := s.trials[b.LowerTrial]
	return min(t.target, t.Offered)
}

// found sums the trials up.
func (s *Search) found() Found {
	long := s.bound(s.clean, s.plan.Confirm)
	all := s.bound(s.clean, 0)
	f := Found{NDR: all, PDR: s.bound(s.partial, 0), Unsteady: s.unsteady}
	switch {
	case long.Lower > 0:
		f.NDR.Lower, f.NDR.LowerTrial = long.Lower, long.LowerTrial
		f.Status = capacity.Confirmed
		if all.Upper == 0 {
			f.Status = capacity.AtLeast
		}
		// A short failure below a long pass has been outvoted by it.
		if f.NDR.Upper <= f.NDR.Lower {
			f.NDR.Upper, f.NDR.UpperTrial = s.above(s.clean, long.Lower)
			f.Unsteady = f.Unsteady || all.Upper > 0
			if f.NDR.Upper == 0 {
				f.Status = capacity.AtLeast
			}
		}
	case all.Lower > 0:
		f.Status = capacity.Unconfirmed
	default:
		f.Status = capacity.NoCapacity
	}
	f.PDR = s.widen(f.PDR, f.NDR)
	return f
}

// above is the lowest failure above a rate, which is the bound that a long
// pass leaves standing.
func (s *Search) above(goal passes, rate float64) (float64, int) {
	failures := slices.DeleteFunc(s.order(), func(i int) bool { return goal(s.trials[i]) || s.trials[i].rate() <= rate })
	if len(failures) == 0 {
		return 0, -1
	}
	return s.trials[failures[0]].rate(), failures[0]
}

// order lists the trials by rate.
func (s *Search) order() []int {
	indexes := make([]int, len(s.trials))
	for i := range indexes {
		indexes[i] = i
	}
	slices.SortStableFunc(indexes, func(a, b int) int {
		return cmp.Compare(s.trials[a].rate(), s.trials[b].rate())
	})
	return indexes
}

// widen keeps the order of the two answers: what loses nothing loses no more
// than the partial goal allows.
func (s *Search) widen(pdr, ndr capacity.Bound) capacity.Bound {
	if pdr.Lower >= ndr.Lower {
		return pdr
	}
	pdr.Lower, pdr.LowerTrial = ndr.Lower, ndr.LowerTrial
	if pdr.Upper <= pdr.Lower {
		pdr.Upper, pdr.UpperTrial = s.above(s.partial, pdr.Lower)
	}
	return pdr
}

// Outcome is what a search needs to know of a trial.
type Outcome struct {
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
