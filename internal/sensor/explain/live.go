package explain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/boottime"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/probe"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// CostLive is Cost over the events of this host for the given time, or until
// ctx ends. Another sensor may run beside it.
func CostLive(ctx context.Context, d time.Duration, list []*rules.Rule, log *slog.Logger) (c *Costs, err error) {
	m, err := newMeter(list, false)
	if err != nil {
		return nil, err
	}
	e := newEngine(m.plan, state.Options{Log: log, ProcRoot: "/proc", HostRoot: "/"}, m.sent.observe)
	p, err := probe.Load(probe.Options{
		Interest:  probe.Interest{Syscalls: m.plan.Interest, ThreadExits: m.plan.ThreadExits, ClosedFiles: m.plan.ClosedFiles, OpenFDs: m.plan.OpenFDs},
		RingBytes: config.Default().Engine.Modern.BufferBytes(), CPUsPerRing: -1, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("load probe: %w", err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	e.SetClock(uint64(boottime.Epoch()))
	if err := p.Snapshot(e.Learn); err != nil {
		return nil, fmt.Errorf("take snapshot of processes: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	e.Run(ctx, p.Reader())
	return m.costs(e), nil
}
