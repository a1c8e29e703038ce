package sensor

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/boottime"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/probe"
	"github.com/peregrine-sec/peregrine/internal/sensor/ring"
)

// source is where live events come from.
type source interface {
	engine.Source
	// Stop ends the flow; events taken in before can still be read.
	Stop() error
	Close() error
	// SetPlan requests the events that the rules of all plans need.
	SetPlan(...*plan.Plan) error
	// Counters are the kernel's; nil if there is no kernel behind it.
	Counters() (*probe.Counters, error)
}

// openSource opens the configured source, and fills the process table.
func (s *sensor) openSource() (source, error) {
	cfg := s.now().config
	switch cfg.Engine.Kind {
	case "nodriver":
		s.log.Info("no driver: no events will be seen")
		return newIdle(), s.table.ScanProc()
	case "replay": // replay reads the file itself
		return newIdle(), nil
	default:
		return s.openProbe(cfg)
	}
}

// kernel is the probe as a source.
type kernel struct {
	*probe.Probe
	*ring.Reader
}

func (k *kernel) Stop() error  { return k.Detach() }
func (k *kernel) Close() error { return k.Probe.Close() }

func (k *kernel) SetPlan(plans ...*plan.Plan) error { return k.SetInterest(interest(plans...)) }

// interest is the union of the plans' needs. Opens and calls on sockets are
// filtered only for a single plan: several plans get all of them.
func interest(plans ...*plan.Plan) probe.Interest {
	var all probe.Interest
	if len(plans) == 1 {
		all.Opens = (*probe.OpenFilter)(plans[0].Opens)
		all.Sockets = (*probe.SocketFilter)(plans[0].Sockets)
		all.Addresses = (*probe.AddressFilter)(plans[0].Addresses)
		all.Kinds = kinds(plans[0])
		all.Execs = execs(plans[0])
	}
	for _, p := range plans {
		all.Syscalls = append(all.Syscalls, p.Interest...)
		all.ThreadExits = all.ThreadExits || p.ThreadExits
		all.ClosedFiles = all.ClosedFiles || p.ClosedFiles
		all.OpenFDs.AddAll(p.OpenFDs)
	}
	slices.Sort(all.Syscalls)
	all.Syscalls = slices.Compact(all.Syscalls)
	return all
}

// kinds is the filter in the words of the probe.
func kinds(p *plan.Plan) *probe.KindFilter {
	k := p.Kinds
	if k == nil {
		return nil
	}
	f := &probe.KindFilter{Plan: p.Number, Always: k.Always, Named: k.Named, Names: k.Names, Specials: map[event.Kind]probe.Special{}}
	for kind, s := range k.Specials {
		f.Specials[kind] = probe.Special(s)
	}
	return f
}

// execs is the filter of execs in the words of the probe.
func execs(p *plan.Plan) *probe.ExecFilter {
	if p.Execs == nil {
		return nil
	}
	t := p.Execs.Texts
	return &probe.ExecFilter{Plan: uint64(p.Number), Classes: t.Classes, Next: t.Next, Met: t.Met}
}

// openProbe attaches first and takes the snapshot of all processes then, so
// that no process is missed; events sent meanwhile are read afterwards, and the
// table knows which of both is newer.
func (s *sensor) openProbe(cfg *config.Config) (source, error) {
	pr, err := probe.Load(probe.Options{
		Interest:    interest(s.now().rules.Plan),
		RingBytes:   cfg.Engine.Modern.BufferBytes(),
		CPUsPerRing: cfg.Engine.Modern.CPUsForEachBuffer,
		Snaplen:     cfg.FalcoLibs.Snaplen,
		DropFailed:  cfg.Engine.Modern.DropFailedExit,
		Hooks:       probe.Hooks(cfg.Peregrine.Hooks),
		Log:         s.log,
	})
	if err != nil {
		return nil, fmt.Errorf("load probe: %w", err)
	}
	s.engine.SetClock(uint64(boottime.Epoch()))
	s.engine.TellGroups(func(set []byte, host bool) {
		if err := pr.SetHost(set, host); err != nil {
			s.log.Debug("the probe does not know which groups are the host's: it sends more than is needed", "error", err)
		}
	})
	s.engine.TellMasks(func(m plan.ProcessMask) {
		if err := pr.SetProcessMask((*probe.ProcessMask)(&m)); err != nil {
			s.log.Debug("the probe has no mask of a process: it sends more than is needed", "error", err)
		}
	})
	if err := s.snapshot(cfg, pr); err != nil {
		return nil, errors.Join(fmt.Errorf("take snapshot of processes: %w", err), pr.Close())
	}
	s.engine.FilterExecs(pr) // from here on, the table knows all processes
	return &kernel{Probe: pr, Reader: pr.Reader()}, nil
}

func (s *sensor) snapshot(cfg *config.Config, pr *probe.Probe) error {
	type iterating interface{ Snapshot(func([]byte)) error }
	if it, ok := any(pr).(iterating); ok && !cfg.Engine.Modern.DisableIterators {
		err := it.Snapshot(s.engine.Learn)
		if err == nil {
			return nil
		}
		s.log.Warn("the kernel's task iterator is not usable; reading /proc", "error", err)
	}
	return s.table.ScanProc()
}

// idle is the source without events.
type idle struct{ wake chan struct{} }

func newIdle() idle { return idle{wake: make(chan struct{}, 1)} }

func (idle) Next() ([]byte, bool) { return nil, false }
func (idle) Stop() error          { return nil }
func (idle) Close() error         { return nil }

func (i idle) Wait(atMost time.Duration) {
	select {
	case <-i.wake:
	case <-time.After(atMost):
	}
}

func (i idle) Wake() {
	select {
	case i.wake <- struct{}{}:
	default: // one is enough
	}
}

func (idle) SetPlan(...*plan.Plan) error        { return nil }
func (idle) Counters() (*probe.Counters, error) { return nil, nil }
