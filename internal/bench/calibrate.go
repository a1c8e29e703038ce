package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/bench/syscalls"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// Calibration holds the syscall rate of the idle host and the syscalls of an
// action, measured once with our counter, so that rounds need not pay for
// counting.
type Calibration struct {
	Idle      float64 `json:"idle_syscalls_per_second"`
	PerAction float64 `json:"syscalls_per_action"`
}

// calibrationRate is slow enough to disturb nothing.
const calibrationRate = 500

// Calibrate counts the idle host's syscalls for d, and those of the threads
// that perform the actions for as long; children that actions start are not
// counted. Whatever else happens on the host is in Idle, and not in PerAction.
func (s *Session) Calibrate(ctx context.Context, d time.Duration) (Calibration, error) {
	// These rounds are not results: they have no number and no raw data.
	number, recorder := s.number, s.o.Recorder
	s.o.Recorder = nil
	defer func() { s.number, s.o.Recorder = number, recorder }()
	counter, err := syscalls.Attach(true)
	if err != nil {
		return Calibration{}, fmt.Errorf("calibrate: %w", err)
	}
	c, err := s.calibrate(ctx, counter, d)
	if err = errors.Join(err, counter.Close()); err != nil {
		return c, fmt.Errorf("calibrate: %w", err)
	}
	s.cal = c
	return c, nil
}

func (s *Session) calibrate(ctx context.Context, counter *syscalls.Counter, d time.Duration) (c Calibration, err error) {
	before, begin, err := counter.Count()
	if err != nil {
		return c, err
	}
	_ = wait.For(ctx, d) // a shorter count is valid too
	after, end, err := counter.Count()
	if err != nil {
		return c, err
	}
	c.Idle = float64(after-before) / (end - begin).Seconds()
	if len(s.o.Actions) == 0 {
		return c, nil
	}
	s.number = -1
	round, err := s.Run(ctx, Load{Rate: calibrationRate, Duration: d, Label: "calibration"})
	if err != nil || round.Total.OK == 0 {
		return c, err
	}
	total := uint64(0)
	threads := make(map[int32]bool)
	s.earlier[len(s.earlier)-1].index.Each(func(f match.Fate) { threads[f.TID] = true })
	for tid := range threads {
		n, err := counter.Thread(tid)
		if err != nil {
			return c, err
		}
		total += n
	}
	c.PerAction = float64(total) / float64(round.Total.OK)
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
