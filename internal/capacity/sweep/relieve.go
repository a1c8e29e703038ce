package sweep

import (
	"context"
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
)

// burden says what a round may have left in the sensor's queues. A trial that
// starts with the queues of the one before would be blamed for its losses.
type burden int

const (
	none   burden = iota
	ours          // alerts on their way to us
	hidden        // alerts for another of the sensor's outputs, which only the sensor sees
)

// carry notes the burden of a trial: none if it was clean, and so has been
// drained. But once an output has proved slow, its queue may be half full after
// a clean trial too.
func (m *measurement) carry(t *capacity.Trial) {
	s := t.Round.Sensor
	// Alerts that are missing here and counted as dropped were dropped on the
	// way to us.
	switch slow := s != nil && int(s.OutputsDropped) > diagnose.Missing(&t.Round); {
	case diagnose.Ended(t):
		m.burden = none
	case slow, m.slowOutput:
		m.slowOutput, m.burden = true, hidden
	case t.Verdict.Clean:
		m.burden = none
	default:
		m.burden = ours
	}
}

// mostSettle bounds the waiting for a sensor to deal with its queues.
const mostSettle = 15 * time.Second

// relieve lets the next trial begin with empty queues: it waits for them, or
// starts our own sensor again. next is the rate of that trial.
func (m *measurement) relieve(ctx context.Context, next float64) error {
	left := m.burden
	m.burden = none
	switch {
	case left == none:
		return nil
	case left == hidden && m.sensor.Owned():
		if !m.told {
			m.say("an output of the sensor does not keep up, and what waits for it is not seen from outside: starting the sensor again before each round")
		}
		m.told = true
		return m.renew(ctx, next)
	}
	settled, err := m.sensor.Settle(ctx, mostSettle)
	switch {
	case err != nil && m.sensor.Ended() && ctx.Err() == nil:
		m.say("the sensor ended between two rounds and is started again")
		m.note("the sensor was ended from outside once, between two rounds")
		return m.restart(ctx)
	case err != nil:
		return err
	case settled && left == hidden:
		m.note("an output of the sensor may still have had alerts of the round before: what it holds is not seen from outside")
		return nil
	case settled:
		return nil
	case m.sensor.Owned():
		m.say("the sensor still has alerts of the last round after %v: starting it again", mostSettle)
		return m.renew(ctx, next)
	}
	return fmt.Errorf("the sensor did not recover within %v of the last round: single actions raise no alert; its output is stuck or far too slow: restart the sensor, or give it a faster output, and run the test again", mostSettle)
}

// renew replaces the sensor by one with empty queues, which warming up at a
// part of the next rate should leave empty.
func (m *measurement) renew(ctx context.Context, next float64) error {
	_ = m.sensor.Stop(ctx) // alerts not delivered at its end are of a trial that has failed
	if err := m.start(ctx); err != nil {
		return err
	}
	return m.warmUp(ctx, min(warmRate, next/4))
}
