package sensor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/sensor/probe"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
	"github.com/peregrine-sec/peregrine/internal/version"
)

// topProcesses is how many processes a snapshot names.
const topProcesses = 20

// metricsSnapshot gathers all counters. Counters of the engines are read
// between events.
func (s *sensor) metricsSnapshot(ctx context.Context) (metrics.Snapshot, error) {
	now := s.now()
	m := metrics.Snapshot{
		Start: s.started.UnixNano(), Version: version.Version(), EngineVersion: version.Engine,
		Source: "syscall", EngineName: engineName(now.config.Engine.Kind),
		Host: s.host, RulesFiles: now.sums.rules, ConfigFiles: now.sums.config,
		Resources: metrics.ReadResources("/proc"),
	}
	if s.inventory != nil {
		for _, r := range s.inventory.Status() {
			m.Metadata.Runtimes = append(m.Metadata.Runtimes, metrics.Runtime(r))
		}
	}
	if s.pods != nil {
		p := s.pods.Status()
		m.Metadata.Runtimes = append(m.Metadata.Runtimes, metrics.Runtime{
			Engine: "kubernetes", Socket: p.Server, Present: true, Connected: p.Connected, Connects: p.Connects, Told: p.Told, Error: p.Error,
		})
	}
	if err := s.onEngines(ctx, func() { s.engineSnapshot(&m) }); err != nil {
		return m, err
	}
	// Read after the engine's: every processed event was delivered before.
	c, err := s.source.Counters()
	if err != nil {
		return m, err
	}
	if c != nil {
		filter := m.Probe.OpenFilter
		m.Probe = probeCounters(c)
		m.Probe.OpenFilter = filter
	}
	k, live := s.source.(*kernel)
	if live {
		h := k.Hooks()
		m.Probe.Hooks = metrics.Hooks{InForce: string(h.Hooks), Functions: h.Functions, Because: h.Why}
	}
	if live && now.config.Metrics.LibbpfStats {
		runs, err := k.Runs()
		if err != nil {
			return m, err
		}
		m.Programs = programs(runs)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Reload = m.Start
	if !s.reloads.last.IsZero() {
		m.Reload = s.reloads.last.UnixNano()
	}
	m.Reloads, m.ReloadErrors, m.LastReloadErr = s.reloads.done, s.reloads.failed, s.reloads.err
	m.StatsErrors, m.MetricsErrors = s.statsFile.errors.Load(), s.metricsFile.errors.Load()
	m.Time, m.Elapsed = time.Now().UnixNano(), time.Since(s.started)
	return m, nil
}

// engineSnapshot runs while no engine looks at an event.
func (s *sensor) engineSnapshot(m *metrics.Snapshot) {
	now := s.now()
	c := s.engine.Counters()
	m.Events, m.Alerts, m.Throttled = c.Events, c.Alerts, s.throttle.Held()
	m.Metadata.Known, m.Metadata.Imageless = s.table.Containers().Counts()
	m.Metadata.Waited, m.Metadata.Cut = c.Waited, c.WaitCut
	m.Recordings = metrics.Recordings(s.recorder.Stats())
	if s.audit != nil {
		m.Audit = s.audit.counters()
		m.Alerts += m.Audit.Alerts
	}
	for k, n := range c.Kinds {
		if n > 0 {
			m.Kinds = append(m.Kinds, metrics.Kind{Name: event.Kind(k).String(), Events: n})
		}
	}
	for name, r := range s.rules() {
		m.Rules = append(m.Rules, metrics.Rule{
			Name: name, Priority: uint8(r.priority), Source: r.source, Tags: r.tags, Matches: r.matches, Evaluations: r.evaluations,
		})
	}
	slices.SortFunc(m.Rules, func(a, b metrics.Rule) int { return cmp.Compare(a.Name, b.Name) })
	if k, ok := s.source.(*kernel); ok {
		for _, f := range k.Fill() {
			m.Rings = append(m.Rings, metrics.Ring(f))
		}
	}
	m.Probe.OpenFilter = now.rules.Plan.Opens != nil
	m.State = stateCounters(s.table.Stats())
	m.Processes = busiest(s.table)
	// The engine sends nothing now, nor does internalAlert.
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Internal, m.Channels = s.internal, now.outputs.Stats()
}

// busiest are the processes with most events.
func busiest(t *state.Table) []metrics.Process {
	var all []metrics.Process
	for p := range t.All {
		if p.Events > 0 {
			all = append(all, metrics.Process{PID: p.PID, Name: p.Comm, Events: p.Events})
		}
	}
	slices.SortFunc(all, func(a, b metrics.Process) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(a.PID, b.PID))
	})
	return slices.Clip(all[:min(len(all), topProcesses)])
}

// knownProcesses is the process table, by pid.
func (s *sensor) knownProcesses(ctx context.Context) (all []metrics.KnownProcess, err error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	err = s.engine.Do(ctx, func() {
		for p := range s.table.All {
			k := metrics.KnownProcess{PID: p.PID, PPID: p.PPID, Start: p.Start, Name: p.Comm}
			if c := p.Container; c != container.Host {
				k.Container = c.ID
			}
			all = append(all, k)
		}
	})
	slices.SortFunc(all, func(a, b metrics.KnownProcess) int { return cmp.Compare(a.PID, b.PID) })
	return all, err
}

func stateCounters(s state.Stats) metrics.State {
	return metrics.State{
		Threads: s.Threads, Added: s.Added, Removed: s.Removed, Lookups: s.LookupsCached + s.LookupsUncached,
		Fetched: s.Fetched, Failed: s.LookupsFailed, TableFull: s.DropsFull, Containers: s.Containers,
	}
}

func probeCounters(c *probe.Counters) metrics.Probe {
	var cpus []metrics.CPU
	for _, cpu := range c.CPUs {
		cpus = append(cpus, metrics.CPU{Events: cpu.Seen, Drops: cpu.Dropped})
	}
	return metrics.Probe{
		PerCPU: cpus,
		Seen:   c.Seen, Filtered: c.Filtered, Delivered: c.Delivered,
		Drops: c.Drops, Unread: c.Faults, Untranslated: c.Foreign, Families: families(&c.Tallies), Masks: metrics.Masks(c.Masks),
	}
}

// families are those that saw an event.
func families(all *probe.Tallies) (list []metrics.Family) {
	for family, t := range all {
		tally := func(f probe.Fate) metrics.Tally {
			return metrics.Tally{Events: t[f].Events, Time: time.Duration(t[f].Ns)}
		}
		f := metrics.Family{
			Name: "scheduler", Delivered: tally(probe.Delivered), Filtered: tally(probe.Filtered), Masked: tally(probe.Masked), Dropped: tally(probe.Dropped),
		}
		if f.Delivered.Events+f.Filtered.Events+f.Masked.Events+f.Dropped.Events == 0 {
			continue
		}
		if family > 0 {
			f.Name = event.Family(family).String()
		}
		list = append(list, f)
	}
	return list
}

// costs measures the programs in the kernel.
func (s *sensor) costs(ctx context.Context, d time.Duration) (m metrics.Costs, err error) {
	k, ok := s.source.(*kernel)
	if !ok {
		return m, fmt.Errorf("no programs in the kernel to measure: engine.kind is %s", s.now().config.Engine.Kind)
	}
	c, err := k.Measure(ctx, d)
	if err != nil {
		return m, err
	}
	m = metrics.Costs{Elapsed: c.Elapsed, Because: c.Because, Programs: programs(c.Programs), Families: families(&c.Tallies)}
	return m, nil
}

func programs(runs []probe.Run) (list []metrics.Program) {
	for _, r := range runs {
		list = append(list, metrics.Program{Name: r.Name, Runs: r.Count, Time: r.Time})
	}
	return list
}

// engineName is Falco's name for a source of events.
func engineName(kind string) string {
	switch kind {
	case "replay":
		return "savefile"
	case "nodriver":
		return "nodriver"
	}
	return "modern_bpf"
}

// fileSums identify the files that are in force.
type fileSums struct{ rules, config []metrics.FileSum }

func newFileSums(cfg *config.Config, sources []rules.Source) fileSums {
	var sums fileSums
	for _, s := range sources {
		sums.rules = append(sums.rules, metrics.FileSum{Name: s.Name, SHA256: config.Sum(s.Content)})
	}
	for _, path := range cfg.Files {
		sums.config = append(sums.config, metrics.FileSum{Name: path, SHA256: cfg.Sum(path)})
	}
	return sums
}
