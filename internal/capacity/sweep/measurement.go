package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
	"github.com/peregrine-sec/peregrine/internal/capacity/search"
	"github.com/peregrine-sec/peregrine/internal/human"
)

// measurement is one row while it is measured.
type measurement struct {
	*sweep
	number, of int
	stand      Stand
	sensor     Sensor // nil before it is under its limit
	row        capacity.Row
	index      int            // of the row
	search     *search.Search // nil before it starts
	doubts     []string       // reasons to distrust the search's result
	began      time.Time
	restarts   int
	burden     burden // queues that the latest round has left in the sensor
	slowOutput bool   // an output has dropped alerts in this row
	told       bool   // of it
}

// measure brings a sensor up under a row's limit and searches. It restores its
// changes on every return.
func (s *sweep) measure(ctx context.Context, m *measurement, find func() (search.Found, error)) (err error) {
	m.began = s.Now()
	m.sensor, err = m.stand.Open(ctx, m.row.Limit)
	if err != nil {
		return err
	}
	m.row.Place = m.sensor.Place()
	defer func() {
		// The context may have ended; the restoring must not end with it.
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if stopped := m.sensor.Stop(clean); stopped != nil {
			// The figures are there; how the sensor ended does not change them.
			first, _, _ := strings.Cut(stopped.Error(), "\n")
			m.note("the sensor did not end well: " + first)
		}
		err = errors.Join(err, m.sensor.Restore(clean))
		if err != nil {
			m.row.Error = err.Error()
		}
		s.keep(m)
	}()
	if err := m.start(ctx); err != nil {
		return err
	}
	if err := m.settle(ctx); err != nil {
		return err
	}
	found, err := find()
	m.finish(found)
	if err != nil && m.row.Factor.Name == capacity.FactorNone {
		m.row.Factor.Advice = "the run was cut short: run it again"
	}
	return err
}

// maxRestarts is how often a sensor that ends is brought back in one row.
const maxRestarts = 5

// start brings the sensor up under the limit, again if it ends meanwhile.
func (m *measurement) start(ctx context.Context) error {
	for {
		err := m.sensor.Start(ctx)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("start the sensor with %s: %w", m.row.Limit, err)
		if !errors.Is(err, ErrEnded) || ctx.Err() != nil {
			return err
		}
		if e := m.mayRestart(); e != nil {
			return errors.Join(e, err)
		}
		m.say("the sensor ended before the first round and is started again")
		m.note("the sensor was ended from outside once, before the first round")
	}
}

// mayRestart counts the times that a sensor is brought back.
func (m *measurement) mayRestart() error {
	if !m.sensor.Owned() {
		return errors.New("the sensor has ended: start it and run the test again")
	}
	if m.restarts++; m.restarts > maxRestarts {
		return fmt.Errorf("the sensor ended %d times under %s, and is not started again", m.restarts, m.row.Limit)
	}
	return nil
}

func (m *measurement) restart(ctx context.Context) error {
	if err := m.mayRestart(); err != nil {
		return err
	}
	_ = m.sensor.Stop(ctx) // how it ended is known already
	m.burden = none
	return m.start(ctx)
}

// settle observes the idle sensor and warms it up. It refuses to measure a host
// that is not quiet, or a sensor whose alerts do not arrive.
func (m *measurement) settle(ctx context.Context) error {
	m.say("settling with %s", m.row.Limit)
	if err := m.quiet(ctx); err != nil {
		return err
	}
	for _, reason := range noise(m.row.Idle) {
		m.note(reason)
	}
	return m.warmUp(ctx, min(m.Plan.Start, warmRate))
}

// round is a round that does not count: it is done again if the sensor is
// ended in it, or was before it.
func (m *measurement) round(ctx context.Context, load bench.Load) (bench.Round, error) {
	for {
		round, err := m.sensor.Run(ctx, load)
		if ctx.Err() != nil || !m.lost(&round, err) {
			return round, err
		}
		m.say("the sensor ended in the %s round and is started again", load.Label)
		m.note("the sensor was ended from outside once, and the round was repeated")
		if err := m.restart(ctx); err != nil {
			return round, err
		}
	}
}

// lost says whether a round, or its error, is that of a sensor that has ended.
func (m *measurement) lost(round *bench.Round, err error) bool {
	if err != nil {
		return m.sensor.Ended()
	}
	return diagnose.Ended(&capacity.Trial{Round: *round})
}

// warmRate is a rate that any sensor should take, in operations per second.
const warmRate = 500

// warmUp is a round that does not count.
func (m *measurement) warmUp(ctx context.Context, rate float64) error {
	actions, background := m.Load.Split(rate)
	warm, err := m.round(ctx, bench.Load{Rate: actions, Noise: background, Duration: m.Plan.WarmUp, Label: "warm-up"})
	if err != nil {
		return err
	}
	if why := Unusable(&warm); why != "" && !m.Force {
		return &PreflightError{why}
	}
	if actions > 0 && warm.Total.OK > 0 && warm.Total.Matched == 0 {
		return &PreflightError{fmt.Sprintf("%d actions were performed and no alert arrived%s", warm.Total.OK, findings(&warm))}
	}
	m.carry(&capacity.Trial{Round: warm, Verdict: Judge(&warm, rate, m.Plan.Partial, capacity.Usage{})})
	return nil
}

// patience is how many idle rounds a busy host is given to become quiet.
const patience = 6

// quiet watches the idle sensor until the host has CPU to spare. It refuses a
// host that stays busy, and a sensor that drops events without a load.
func (m *measurement) quiet(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		idle, err := m.round(ctx, bench.Load{Duration: m.Plan.Idle, Label: "idle"})
		m.row.Idle = &idle
		if err != nil {
			return err
		}
		why := disturbed(&idle)
		switch {
		case why == "" || m.Force:
			return nil
		case attempt == patience:
			return &PreflightError{why + ": stop other load on this host, or measure anyway with --force"}
		}
		m.say("waiting for a quiet host: %s", why)
	}
}

func (m *measurement) say(format string, args ...any) {
	m.tell(Progress{Message: fmt.Sprintf(format, args...)})
}

func (m *measurement) tell(p Progress) {
	p.Row, p.Rows, p.Limit, p.Sensor = m.number, m.of, m.row.Limit, m.row.Sensor
	p.Left = time.Duration(m.of-m.number)*m.expected + max(0, m.expected-m.Now().Sub(m.began))
	m.progress(p)
}

// note adds a reason to distrust the row, once.
func (m *measurement) note(reason string) {
	if !slices.Contains(m.row.Noisy, reason) {
		m.row.Noisy = append(m.row.Noisy, reason)
	}
}

// finish turns the search's result into the row's answer.
func (m *measurement) finish(f search.Found) {
	r := &m.row
	r.Status, r.NDR, r.PDR = f.Status, f.NDR, f.PDR
	r.Noisy = slices.DeleteFunc(r.Noisy, func(reason string) bool { return slices.Contains(m.doubts, reason) })
	m.doubts = nil
	if f.Unsteady {
		m.doubts = append(m.doubts, "the same rate has both passed and failed")
	}
	if long := r.LongFailure(); f.Status == capacity.Unconfirmed && long != nil {
		m.doubts = append(m.doubts, fmt.Sprintf("what passes in rounds of %v does not last for %v at %.0f/s, and there was no time to find what does: another run may end elsewhere",
			m.Plan.Bisect, m.Plan.Confirm, long.Verdict.Offered))
	}
	if f.Status == capacity.Confirmed && m.search.Wide() {
		m.doubts = append(m.doubts, fmt.Sprintf("%s/s last for %v and %s/s do not, and there was no time to try in between",
			human.Number(f.NDR.Lower), m.Plan.Confirm, human.Number(f.NDR.Upper)))
	}
	diagnose.Answer(r)
	if reason := neighbours(r.CleanTrial(), r.FailedTrial()); reason != "" {
		m.doubts = append(m.doubts, reason)
	}
	r.Noisy = append(r.Noisy, m.doubts...)
}
