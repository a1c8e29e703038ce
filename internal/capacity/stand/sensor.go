package stand

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/target"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
)

// sensor implements sweep.Sensor: the sensor of a stand under a limit, with
// the bench session that loads it.
type sensor struct {
	*Stand
	limit   capacity.Limit
	place   limit.Place
	journal *limit.Journal
	target  target.Target  // nil while no sensor is up
	session *bench.Session // nil until the sensor is ready

	placement placement
	ours      []int // CPUs that this process may use, while it does not use all of them
}

// Start brings the sensor up in its place. It returns when every action has
// been seen to raise its alert.
func (s *sensor) Start(ctx context.Context) error {
	t, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	if err := t.Start(ctx, func(pid int) error { return s.started(ctx, pid) }); err != nil {
		return err
	}
	s.target = t
	if err := s.ready(ctx); err != nil {
		ended := s.Ended() && ctx.Err() == nil
		stopped := s.stop(context.WithoutCancel(ctx))
		if ended {
			return whyEnded(stopped, err)
		}
		return err // how it stopped is of no interest
	}
	return nil
}

// whyEnded tells a sensor that gave up, and would again, from one that was
// killed. A Falco opens its source long before it knows that it cannot load its
// probe.
func whyEnded(stopped, err error) error {
	var ended *target.EndedError
	switch {
	case !errors.As(stopped, &ended):
		return fmt.Errorf("%w: %w", sweep.ErrEnded, err)
	case ended.Killed():
		return fmt.Errorf("%w: %w", sweep.ErrEnded, ended)
	}
	return ended
}

// started puts our own sensor under the limit, before its first instruction.
func (s *sensor) started(ctx context.Context, pid int) error {
	if !s.owned() {
		return nil
	}
	if err := s.journal.Process(pid); err != nil {
		return err
	}
	if err := s.place.Add(ctx, pid); err != nil {
		return err
	}
	if len(s.placement.sensor) == 0 {
		return nil
	}
	return pin(pid, s.placement.sensor)
}

// ready opens the bench session and has each action's alert seen.
func (s *sensor) ready(ctx context.Context) error {
	b, err := bench.Open(ctx, bench.Options{Target: s.target, CPUs: s.limit.CPU, Actions: s.Actions, Profile: s.Profile, Seed: s.Seed, CountSyscalls: s.CountSyscalls, Generate: s.Generate, Drain: s.Drain, Linger: s.Drain, Patience: s.Patience, Progress: s.Progress, Say: s.say})
	if err != nil {
		return err
	}
	s.session = b
	if err := s.preflight(ctx); err != nil {
		return err
	}
	// Without a count in each round, one count beforehand has to do. A kernel that
	// refuses our counter leaves that column empty.
	if !s.CountSyscalls {
		if _, err := b.Calibrate(ctx, time.Second); err != nil {
			fmt.Fprintf(s.Log, "host syscalls are not counted: %v\n", err)
		}
	}
	return nil
}

// perWorker is how many actions per second one generator thread is trusted
// with.
const perWorker = 30_000

// say tells what takes long, and under which limit.
func (s *sensor) say(format string, args ...any) {
	s.Say("%s  "+format, append([]any{s.limit}, args...)...)
}

// Run lets the generator have as many threads as the rate needs and the
// machine has.
func (s *sensor) Run(ctx context.Context, load bench.Load) (bench.Round, error) {
	load.Workers = min(1+int(load.Rate/perWorker), runtime.NumCPU())
	return s.session.Run(ctx, load)
}

func (s *sensor) Settle(ctx context.Context, most time.Duration) (bool, error) {
	return s.session.Settle(ctx, most)
}

func (s *sensor) Ended() bool {
	if s.target == nil {
		return false
	}
	select {
	case <-s.target.Exited():
		return true
	default:
		return false
	}
}

// Stop ends the session and the sensor. How a sensor ended that has been
// killed is not an error here: the rounds have told.
func (s *sensor) Stop(ctx context.Context) error {
	ended := s.Ended()
	if err := s.stop(ctx); !ended {
		return err
	}
	return nil
}

func (s *sensor) stop(ctx context.Context) error {
	if s.target == nil {
		return nil
	}
	err := s.target.Stop(ctx)
	if s.session != nil {
		err = errors.Join(err, s.session.Close())
	}
	s.target, s.session = nil, nil
	return err
}

func (s *sensor) Restore(ctx context.Context) error {
	return errors.Join(s.place.Restore(ctx), s.together())
}

func (s *sensor) Usage() (capacity.Usage, error) { return s.place.Usage() }

func (s *sensor) Owned() bool { return s.owned() }

func (s *sensor) Place() string {
	if !s.owned() {
		return s.place.String()
	}
	return s.place.String() + ", " + s.placement.String()
}
