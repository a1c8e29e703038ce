package target

import (
	"context"
	"errors"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// Running is a Target that is already running, such as a Falco of the host.
type Running struct {
	pid    int
	alerts intake.Source
	stats  sensorstats.Reader
}

var _ Target = (*Running)(nil)

// NewRunning measures the process pid (0 if it is not to be sampled), whose
// alerts and stats come from the given readers, which it takes over. stats may
// be nil.
func NewRunning(pid int, alerts intake.Source, reader sensorstats.Reader) *Running {
	return &Running{pid: pid, alerts: alerts, stats: reader}
}

func (r *Running) Start(_ context.Context, started func(pid int) error) error {
	if started == nil {
		return nil
	}
	return started(r.pid)
}

// Stop implements Target; the sensor goes on.
func (r *Running) Stop(context.Context) error {
	err := r.alerts.Close()
	if r.stats != nil {
		err = errors.Join(err, r.stats.Close())
	}
	return err
}

func (r *Running) PID() int { return r.pid }

func (r *Running) Alerts() intake.Source { return r.alerts }

func (r *Running) Stats() sensorstats.Reader { return r.stats }

func (r *Running) Command() []string { return nil }

// Exited implements Target: a running sensor's end is seen by its pid.
func (r *Running) Exited() <-chan struct{} { return nil }
