package bench

import (
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/human"
)

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
