// Package output takes alerts to their receivers: standard output, a file,
// syslog, a program, HTTP, gRPC. Each channel has a bounded queue and workers
// of its own, so that a slow or dead receiver stops neither detection nor the
// other channels; alerts that do not fit are dropped for that channel, counted
// and reported. Alerts are shared and never changed.
//
// Send is for the detection goroutine: it neither blocks nor allocates.
package output

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
)

// channel is one way out.
type channel interface {
	// start begins to deliver. Before that, a channel only holds its resources.
	start()
	send(*alert.Alert)
	reopen()
	stats() metrics.Channel
	close(context.Context) error
}

// Options are the parts of a Set from the process around it.
type Options struct {
	Log    *slog.Logger
	Stdout *os.File // nil: os.Stdout
	// ProgramOutput takes the output of program_output's program; nil:
	// os.Stderr.
	ProgramOutput io.Writer
	// AllGone is called repeatedly while no channel has a receiver that could
	// come back; nil: not called.
	AllGone func()
	// SyslogPaths are the sockets of the syslog daemon; nil: the usual ones.
	SyslogPaths []string
}

// Set is the channels of one configuration. Sets that follow one another by
// Prepare and Replace share the channels that the configuration does not
// change, and the counters of all.
type Set struct {
	opt     Options
	config  *config.Config
	entries []entry
	ledger  *ledger

	sending sync.RWMutex // held by Send; Replace takes it to change next
	next    *Set         // stands in for this one once it has been replaced
}

// entry is an open channel and the configuration it was opened with.
type entry struct {
	channel
	maker   *maker
	section any // its section of the configuration
}

// Open opens the channels that c enables. Files, sockets and certificates are
// checked now; receivers elsewhere may be absent still.
func Open(c *config.Config, opt Options) (*Set, error) {
	if opt.Stdout == nil {
		opt.Stdout = os.Stdout
	}
	if opt.ProgramOutput == nil {
		opt.ProgramOutput = os.Stderr
	}
	if opt.SyslogPaths == nil {
		opt.SyslogPaths = syslogPaths
	}
	none := &Set{opt: opt, ledger: &ledger{log: opt.Log, allGone: opt.AllGone, hurry: make(chan struct{})}}
	s, err := none.Prepare(c)
	if err != nil {
		return nil, err
	}
	none.Replace(s)
	s.ledger.watch()
	return s, nil
}

// Send queues a for every channel; the caller must not look at it again. It is
// safe for concurrent use.
func (s *Set) Send(a *alert.Alert) {
	s.sending.RLock() // so that no alert goes to a channel that is closed already
	defer s.sending.RUnlock()
	if s.next != nil {
		s.next.Send(a)
		return
	}
	a.Share(len(s.entries))
	for _, e := range s.entries {
		e.send(a)
	}
}

// latest is the set in force.
func (s *Set) latest() *Set {
	s.sending.RLock()
	defer s.sending.RUnlock()
	if s.next != nil {
		return s.next.latest()
	}
	return s
}

// Reopen reopens files and connections, and rereads certificates.
func (s *Set) Reopen() {
	for _, e := range s.latest().entries {
		e.reopen()
	}
}

// Stats returns the counts of every channel that there has been, since the
// start.
func (s *Set) Stats() []metrics.Channel { return s.ledger.stats() }

// Close delivers queued alerts until ctx ends, and closes all channels,
// including replaced ones that still deliver. The error reports undelivered
// alerts. Alerts sent afterwards are counted as dropped. Closing again does
// nothing.
func (s *Set) Close(ctx context.Context) error {
	if !s.ledger.close() {
		return nil
	}
	entries := s.latest().entries
	errs := make([]error, len(entries))
	var closing sync.WaitGroup
	closing.Go(func() { s.ledger.finishRetired(ctx) })
	for i, e := range entries {
		closing.Go(func() { errs[i] = e.close(ctx) })
	}
	closing.Wait()
	return errors.Join(errs...)
}

// timeoutOf is how long a receiver may take for an alert, and a stop for all.
func timeoutOf(c *config.Config) time.Duration {
	return time.Duration(c.OutputTimeout) * time.Millisecond
}
