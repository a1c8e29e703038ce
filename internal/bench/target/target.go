// Package target is the sensor under test as bench sees it: a process, its
// alerts and its stats. Ours and a real Falco are measured through the same
// three, and nothing else of a sensor is known here.
package target

import (
	"context"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// Target is one sensor under test.
type Target interface {
	// Start brings the sensor up and returns when it sees events. started, if
	// not nil, is called with the process id before the sensor has done
	// anything, so that a limit covers its whole life; its error stops the
	// sensor. A target that was already running calls it at once.
	Start(ctx context.Context, started func(pid int) error) error
	// PID is the sensor's process; 0 if it is not known.
	PID() int
	// Alerts is the stream of alerts, valid after Start.
	Alerts() intake.Source
	// Stats is nil if the sensor's stats cannot be read.
	Stats() sensorstats.Reader
	// Command is the command line used to start it; nil if it was running.
	Command() []string
	// Exited is closed when the process is gone; never, if it is not ours.
	Exited() <-chan struct{}
	// Stop ends a sensor that Start started, and closes Alerts and Stats. It
	// says how the process ended when that was not clean.
	Stop(ctx context.Context) error
}
