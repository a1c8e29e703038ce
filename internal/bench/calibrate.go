package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/syscalls"
)

// Calibration is what the host's own syscalls, and those of an action, are:
// measured once with our counter, so that rounds need not pay for counting.
type Calibration struct {
	Idle      float64 `json:"idle_syscalls_per_second"`
	PerAction float64 `json:"syscalls_per_action"`
}

// calibrationRate is slow enough to disturb nothing and fast enough to stand
// out from an idle host.
const calibrationRate = 500

// Calibrate counts the idle host for d, then the actions for as long. The
// sensor takes part in both: its own syscalls belong to the host's.
func (s *Session) Calibrate(ctx context.Context, d time.Duration) (Calibration, error) {
	count := func(load Load) (float64, Round, error) {
		s.number = -1
		counter, err := syscalls.Attach()
		if err != nil {
			return 0, Round{}, err
		}
		defer counter.Close()
		before, begin, err := counter.Count()
		if err != nil {
			return 0, Round{}, err
		}
		round, err := s.Run(ctx, load)
		if err != nil {
			return 0, round, err
		}
		after, end, err := counter.Count()
		return float64(after-before) / (end - begin).Seconds(), round, err
	}
	// These rounds are nobody's result: they have no number and no raw data.
	number, recorder := s.number, s.o.Recorder
	s.o.Recorder = nil
	defer func() { s.number, s.o.Recorder = number, recorder }()
	var c Calibration
	var err error
	if c.Idle, _, err = count(Load{Duration: d, Label: "calibration, idle"}); err != nil {
		return c, fmt.Errorf("calibrate: %w", err)
	}
	if len(s.o.Actions) > 0 {
		var round Round
		var busy float64
		if busy, round, err = count(Load{Rate: calibrationRate, Duration: d, Label: "calibration"}); err != nil {
			return c, fmt.Errorf("calibrate: %w", err)
		}
		// The counter ran for the drain too, in which no action was done.
		seconds := time.Duration(round.DrainEnd - round.Start).Seconds()
		if n := float64(round.Total.OK); n > 0 {
			c.PerAction = max(0, (busy-c.Idle)*seconds/n)
		}
	}
	s.cal = c
	return c, nil
}

// estimate is the host's syscalls in a round that was not counted; nil before
// Calibrate.
func (c Calibration) estimate(o *observation) *HostCount {
	if c == (Calibration{}) {
		return nil
	}
	r := o.rate(o.end.Sub(o.start).Seconds())
	return &HostCount{PerSecond: c.Idle + c.PerAction*r.Offered + r.NoiseOffered, Estimated: true}
}
