package sweep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
	"github.com/peregrine-sec/peregrine/internal/capacity/search"
	"github.com/peregrine-sec/peregrine/internal/generator"
)

// try performs one trial of the search, and brings the sensor back when it
// has ended.
func (m *measurement) try(ctx context.Context, phase capacity.Phase, target float64, length time.Duration) (search.Observation, error) {
	began := m.Now()
	for attempt := 1; ; attempt++ {
		accident := m.Now().Sub(began)
		t, err := m.trial(ctx, phase, target, length)
		if err != nil {
			return search.Observation{}, err
		}
		if !diagnose.Ended(t) {
			o := observation(t.Verdict)
			o.Accident = accident
			return o, nil
		}
		if err := m.restart(ctx); err != nil {
			return search.Observation{}, err
		}
		// Killed for memory, or dead twice at the same rate: that is the load.
		if t.Limits.OOMKills > 0 || attempt == 2 {
			return observation(t.Verdict), nil
		}
		if m.left() < length {
			m.note("the sensor was ended from outside, and there was no time to repeat the round")
			return observation(t.Verdict), nil
		}
		m.say("the sensor ended during the round and was started again; repeating it")
		m.note("the sensor was ended from outside once, and the round was repeated")
	}
}

// observation is the part of a verdict that steers a search.
func observation(v capacity.Verdict) search.Observation {
	return search.Observation{Offered: v.Offered, Clean: v.Clean, Partial: v.Partial, Loss: v.Loss(), Marginal: v.Marginal, Limited: v.Limited}
}

// trial runs and judges one round, and puts it on record.
func (m *measurement) trial(ctx context.Context, phase capacity.Phase, target float64, length time.Duration) (*capacity.Trial, error) {
	if err := m.relieve(ctx, target); err != nil {
		return nil, err
	}
	m.tell(Progress{Phase: phase, Target: target, Length: length})
	actions, background := m.Load.Split(target)
	round, limits, err := m.load(ctx, bench.Load{Rate: actions, Noise: background, Duration: length, Label: string(phase)})
	if err != nil {
		return nil, err
	}
	if why := Unusable(&round); why != "" {
		return nil, fmt.Errorf("the load failed: %s", why)
	}
	m.row.Trials = append(m.row.Trials, capacity.Trial{Phase: phase, Target: target, Round: round, Limits: limits,
		Verdict: Judge(&round, target, m.Plan.Partial, limits)})
	t := &m.row.Trials[len(m.row.Trials)-1]
	m.carry(t)
	m.tell(Progress{Phase: phase, Target: target, Length: length, Done: t})
	return t, nil
}

// load performs a round, once more if the generator is killed in it or the
// sensor was before it, and returns the growth of the counters of the sensor's
// place.
func (m *measurement) load(ctx context.Context, load bench.Load) (bench.Round, capacity.Usage, error) {
	for attempt := 1; ; attempt++ {
		before, err := m.sensor.Usage()
		var round bench.Round
		if err == nil {
			round, err = m.sensor.Run(ctx, load)
		}
		if err == nil {
			after, err := m.sensor.Usage()
			return round, after.Sub(before), err
		}
		switch {
		case ctx.Err() != nil || attempt == 2:
			return round, capacity.Usage{}, err
		case errors.Is(err, generator.ErrEnded):
			m.say("%v: repeating the round", err)
			m.note("the load generator was ended from outside once, and the round was repeated")
			if _, err := m.sensor.Settle(ctx, mostSettle); err != nil {
				return round, capacity.Usage{}, err
			}
		case m.sensor.Ended():
			m.say("the sensor ended before the round and is started again")
			m.note("the sensor was ended from outside once, and the round was repeated")
			if err := m.restart(ctx); err != nil {
				return round, capacity.Usage{}, err
			}
		default:
			return round, capacity.Usage{}, err
		}
	}
}
