package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/internal/profile/record"
)

// load is what works while something is measured. Its windows are those since
// its start, if there is one.
type load interface {
	start() time.Time
	stop() error
}

// nothing is no load: what a sensor costs on this machine.
type nothing struct{}

func (nothing) start() time.Time { return time.Time{} }
func (nothing) stop() error      { return nil }

func (r *replayed) start() time.Time { return r.began }

// replayed is a replay at work.
type replayed struct {
	cancel context.CancelFunc
	done   chan error
	result *generator.Result // once it is done
	began  time.Time
}

func startReplay(p *profile.Profile, scale float64) (*replayed, error) {
	o, _, err := generator.Replay(p, scale, 0)
	if err != nil {
		return nil, err
	}
	o.Sandbox.Container = generator.InHost
	ready := make(chan struct{}, 2)
	o.Ready = func([]string) { ready <- struct{}{} }
	ctx, cancel := context.WithCancel(context.Background())
	r := &replayed{cancel: cancel, done: make(chan error, 1)}
	go func() {
		var err error
		r.result, err = generator.Spawn(ctx, o)
		r.done <- err
	}()
	select {
	case <-ready:
		r.began = time.Now()
		return r, nil
	case err := <-r.done:
		cancel()
		return nil, errors.Join(err, errors.New("the replay has not started"))
	}
}

func (r *replayed) stop() error {
	r.cancel()
	if err := <-r.done; err != nil {
		return err
	}
	fmt.Printf("The replay made %d calls of %d, 1 %% of them late by more than %v; %d failed that should not have.\n",
		r.result.Completed, r.result.Offered, time.Duration(r.result.Lateness.ValueAtQuantile(99)), r.result.Failed)
	return nil
}

// observed is a load seen by the recorder, and by a sensor if there is one.
type observed struct {
	profile *profile.Profile
	cost    cost
}

// settle is the time after a start that is not measured.
const settle = 3 * time.Second

func (b *bench) observe(start func() (load, error), watched bool) (seen observed, err error) {
	var s *sensor
	if watched {
		if s, err = startSensor(b.binary, b.dir, b.flags); err != nil {
			return seen, err
		}
		defer func() { err = errors.Join(err, s.stop()) }()
		if b.confine != nil {
			if err := b.confine(s.cmd.Process.Pid); err != nil {
				return seen, err
			}
		}
	}
	l, err := start()
	if err != nil {
		return seen, err
	}
	defer func() { err = errors.Join(err, l.stop()) }()
	time.Sleep(settle)
	length := b.length
	if _, idle := l.(nothing); idle {
		length = min(length, 10*time.Second)
	}
	var before spent
	if watched {
		if before, err = s.spent(); err != nil {
			return seen, err
		}
	}
	if seen.profile, err = record.Run(context.Background(), record.Options{For: length, Containers: true, After: l.start()}); err != nil || !watched {
		return seen, err
	}
	now, err := s.spent()
	seen.cost = now.since(before)
	return seen, err
}
