package search

import (
	"cmp"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
)

// Found is the end of a search.
type Found struct {
	Status   capacity.Status
	NDR, PDR capacity.Bound
	// Unsteady says that the same rate has both passed and failed.
	Unsteady bool
}

// passes says whether a trial meets a goal.
type passes func(trial) bool

func (s *Search) clean(t trial) bool   { return t.Clean }
func (s *Search) partial(t trial) bool { return t.Partial }

// bound is the interval that trials of at least a length leave for a goal. A
// pass counts only below the lowest failure: a pass above a failure was luck.
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

// widen keeps the order of the two answers: a rate without loss is within the
// partial goal too.
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
