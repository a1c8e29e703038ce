// Package output takes alerts to their receivers: standard output, a file,
// syslog, a program, HTTP, gRPC. Each channel has a bounded queue and workers
// of its own, so that a slow or dead receiver stops neither detection nor the
// other channels; what does not fit is dropped for that channel, counted and
// reported. Alerts are shared and never changed.
//
// Send is for the detection goroutine: it neither blocks nor allocates.
package output

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
)

// channel is one way out.
type channel interface {
	send(*alert.Alert)
	reopen()
	stats() metrics.Channel
	close(context.Context) error
}

// Options is what a Set takes from the process around it.
type Options struct {
	Log    *slog.Logger
	Stdout *os.File // nil: os.Stdout
	// ProgramOutput takes what the program of program_output prints; nil: os.Stderr.
	ProgramOutput io.Writer
	// SyslogPaths are the sockets of the syslog daemon; nil: the usual ones.
	SyslogPaths []string
}

// Set is all channels of a sensor.
type Set struct {
	opt      Options
	sending  sync.RWMutex // held by Send; Apply takes it to swap channels
	channels atomic.Pointer[[]entry]
	watch    context.CancelFunc
	watching sync.WaitGroup
	mu       sync.Mutex // Apply, Reopen and Close exclude each other
	closed   bool
}

// entry is an open channel and the configuration it was opened with.
type entry struct {
	channel
	maker   *maker
	config  *config.Config
	section any // what of config concerns it
}

// timeout is how long a stop waits for the receiver.
func (e entry) timeout() time.Duration { return timeoutOf(e.config) }

// maker opens one kind of channel. Section is compared to find out whether a
// new configuration changes it.
type maker struct {
	enabled func(*config.Config) bool
	section func(*config.Config) any
	open    func(*config.Config, Options) (channel, error)
	// exclusive channels own an address: the old one closes before the new
	// one can open.
	exclusive bool
}

// makers are the channels in Falco's order.
var makers = []maker{
	{
		enabled: func(c *config.Config) bool { return c.File.Enabled },
		section: func(c *config.Config) any { return c.File }, open: openFile,
	},
	{
		enabled: func(c *config.Config) bool { return c.Stdout.Enabled },
		section: func(c *config.Config) any { return c.Stdout }, open: openStdout,
	},
	{
		enabled: func(c *config.Config) bool { return c.Syslog.Enabled },
		section: func(c *config.Config) any { return c.Syslog }, open: openSyslog,
	},
	{
		enabled: func(c *config.Config) bool { return c.Program.Enabled },
		section: func(c *config.Config) any { return c.Program }, open: openProgram,
	},
	{
		enabled: func(c *config.Config) bool { return c.HTTP.Enabled },
		section: func(c *config.Config) any { return c.HTTP }, open: openHTTP,
	},
	{
		enabled: func(c *config.Config) bool { return c.GRPC.Enabled },
		section: func(c *config.Config) any { return [2]any{c.GRPC, c.GRPCOutput} }, open: openGRPC,
		exclusive: true,
	},
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
	s := &Set{opt: opt}
	s.channels.Store(&[]entry{})
	if err := s.Apply(c); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.watch = cancel
	s.watching.Go(func() { s.supervise(ctx) })
	return s, nil
}

// Send queues a for every channel; the caller must not look at it again. It is
// safe for concurrent use.
func (s *Set) Send(a *alert.Alert) {
	s.sending.RLock() // so that no alert goes to a channel that is closed already
	defer s.sending.RUnlock()
	channels := *s.channels.Load()
	a.Share(len(channels))
	for _, e := range channels {
		e.send(a)
	}
}

// Apply changes the set to configuration c. Channels that c does not change
// stay as they are, queue and all; if a new one cannot be opened, everything
// stays and the error says why. Replaced channels deliver what they hold.
func (s *Set) Apply(c *config.Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := *s.channels.Load()
	var next, opened []entry
	for i := range makers {
		m := &makers[i]
		if !m.enabled(c) {
			continue
		}
		was, open := find(old, m)
		if open && was.section == section(m, c) {
			next = append(next, was)
			continue
		}
		e, err := s.open(m, c, was)
		if err != nil {
			s.discard(opened)
			return err
		}
		next, opened = append(next, e), append(opened, e)
	}
	if len(next) == 0 {
		//lint:ignore ST1005 Falco's wording
		return errors.New("No output configured, enable at least one of stdout_output, file_output, syslog_output, program_output, http_output, grpc_output")
	}
	s.swap(next)
	s.discard(slices.DeleteFunc(slices.Clone(old), func(e entry) bool {
		now, open := find(next, e.maker)
		return open && now.channel == e.channel
	}))
	return nil
}

// swap returns when no Send is under way to the old channels.
func (s *Set) swap(entries []entry) {
	s.sending.Lock()
	defer s.sending.Unlock()
	s.channels.Store(&entries)
}

// section is all of c that concerns m's channel.
func section(m *maker, c *config.Config) any {
	return [5]any{m.section(c), c.OutputTimeout, c.OutputsQueue, c.Peregrine, [2]bool{c.JSON, c.BufferedOutputs}}
}

// open opens m's channel in place of was, if there was one.
func (s *Set) open(m *maker, c *config.Config, was entry) (entry, error) {
	if m.exclusive && was.channel != nil {
		s.discard([]entry{was})
	}
	ch, err := m.open(c, s.opt)
	if err == nil {
		return entry{ch, m, c, section(m, c)}, nil
	}
	if m.exclusive && was.channel != nil {
		s.restore(was)
	}
	return entry{}, err
}

// restore opens a channel again as it was, after its successor failed to open.
func (s *Set) restore(was entry) {
	ch, err := was.maker.open(was.config, s.opt)
	if err != nil {
		s.opt.Log.Error("output: the channel of the running configuration is gone too", "error", err)
		return
	}
	entries := slices.Clone(*s.channels.Load())
	for i := range entries {
		if entries[i].maker == was.maker {
			entries[i].channel = ch
		}
	}
	s.swap(entries)
}

func find(entries []entry, m *maker) (entry, bool) {
	for _, e := range entries {
		if e.maker == m {
			return e, true
		}
	}
	return entry{}, false
}

// discard closes channels that are no longer sent to.
func (s *Set) discard(entries []entry) {
	for _, e := range entries {
		ctx, cancel := context.WithTimeout(context.Background(), e.timeout())
		if err := e.close(ctx); err != nil {
			s.opt.Log.Warn("output: channel replaced", "error", err)
		}
		cancel()
	}
}

// Reopen opens files and connections anew, and reads certificates again.
func (s *Set) Reopen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range *s.channels.Load() {
		e.reopen()
	}
}

// Stats returns the counts of every channel.
func (s *Set) Stats() []metrics.Channel {
	entries := *s.channels.Load()
	stats := make([]metrics.Channel, len(entries))
	for i, e := range entries {
		stats[i] = e.stats()
	}
	return stats
}

// Close delivers what is queued, as far as that is possible before ctx ends,
// and closes all channels. The error says what was lost. Alerts sent
// afterwards are counted as dropped. Closing again does nothing.
func (s *Set) Close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.watch()
	s.watching.Wait()
	entries := *s.channels.Load()
	errs := make([]error, len(entries))
	var closing sync.WaitGroup
	for i, e := range entries {
		closing.Go(func() { errs[i] = e.close(ctx) })
	}
	closing.Wait()
	return errors.Join(errs...)
}
