package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/human"
)

// canaryAgain is how long Settle waits for one canary's alert before it sends
// another: a queue that is full drops the alert of a canary too.
const canaryAgain = 2 * time.Second

// Settle waits, without load, until the sensor has emptied the queues of
// earlier rounds, so that the next round starts with empty ones. Alerts of one
// thread arrive in order: once that of a canary has arrived, no earlier one is
// under way. It is false if none has arrived within most. The queues of the
// sensor's other outputs cannot be seen from here.
func (s *Session) Settle(ctx context.Context, most time.Duration) (bool, error) {
	if len(s.o.Actions) == 0 {
		return true, nil
	}
	deadline := time.Now().Add(most)
	for ctx.Err() == nil && time.Now().Before(deadline) && !exited(s.o.Target.Exited()) {
		result, err := s.once(ctx, s.o.Actions[0])
		if err != nil {
			return false, fmt.Errorf("settle: %w", err)
		}
		if result.Completed == 0 {
			return false, fmt.Errorf("settle: %s could not be performed", s.o.Actions[0].Name)
		}
		if s.seen(ctx, result, earlier(deadline, time.Now().Add(canaryAgain))) {
			return true, nil
		}
	}
	return false, ctx.Err()
}

// seen waits for the alert of a canary, and puts the others to the rounds that
// they belong to.
func (s *Session) seen(ctx context.Context, canary *generator.Result, until time.Time) bool {
	index := match.NewIndex(s.actions, canary.Instances, canary.Run, s.clock)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(until) && ctx.Err() == nil {
		found := false
		taken := s.take()
		for a := range taken.all() {
			one := []intake.Alert{a}
			if index.Match(one, 0, nil)[match.Matched] > 0 {
				found = true
				continue
			}
			s.creditEarlier(one)
		}
		if found {
			return true
		}
		<-tick.C
	}
	return false
}

// settleClock believes an offset of the sensor's clock once several canaries,
// each known by its command line or its thread, show the same. A sensor on
// this host has this host's clock, and no offset; one that was started before
// the wall clock was set has one.
func (s *Session) settleClock() {
	if len(s.offsets) < agreeing {
		return
	}
	last := slices.Sorted(slices.Values(s.offsets[len(s.offsets)-agreeing:]))
	if last[agreeing-1]-last[0] <= agreement {
		s.clock.Offset = last[agreeing/2]
	}
}

// checkClock reports the clock offset that the canaries have shown.
func (s *Session) checkClock(p *Preflight) {
	p.Offset = s.clock.Offset
	switch d := time.Duration(s.clock.Offset); {
	case d != 0:
		p.add("clock", CheckWarn, "the sensor's event times are %s from ours in %d canaries: corrected (was the clock set after the sensor was started?)", human.Duration(d), len(s.offsets))
	case len(s.offsets) > 0:
		p.add("clock", CheckFail, "the sensor's event times differ from ours, by %s at last, and not steadily: latency and loss cannot be told", human.Duration(time.Duration(s.offsets[len(s.offsets)-1])))
	default:
		p.add("clock", CheckOK, "the sensor's event times agree with ours")
	}
}
