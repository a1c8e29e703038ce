package probe

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sync/errgroup"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// always are the programs that every probe has.
var always = []string{sysExit, "sched_fork", "sched_exec", "sched_exit", "cgroup_attach", "iter_task"}

// program is the name of the program that serves a family.
func program(f event.Family) string { return "family_" + f.String() }

// needed are the programs that serve i.
func (i Interest) needed() []string {
	names := append([]string(nil), always...)
	if i.ClosedFiles {
		names = append(names, beforeClose)
	}
	return append(names, i.families()...)
}

// families are the programs of the families that i needs.
func (i Interest) families() []string {
	var names []string
	var have [socketcallFamily + 1]bool
	t := i.table()
	for _, s := range t.Syscalls {
		have[s.Native.Family], have[s.Compat.Family] = true, true
	}
	for _, s := range t.Socketcalls {
		have[s.Family] = true
	}
	for f := event.Family(1); f < event.NumFamilies; f++ {
		if have[f] {
			names = append(names, program(f))
		}
	}
	return names
}

// Run is how often the kernel has run a program, and for how long: both 0
// unless kernel.bpf_stats_enabled is on.
type Run struct {
	Name  string
	Count uint64
	Time  time.Duration
}

// Runs returns those of the programs that are loaded, and of those on functions
// by the names of the functions.
func (p *Probe) Runs() ([]Run, error) {
	runs, err := p.hooks.runs()
	if err != nil {
		return nil, err
	}
	p.programs.Lock()
	defer p.programs.Unlock()
	for name, program := range p.coll.Programs {
		stats, err := program.Stats()
		if err != nil {
			return nil, fmt.Errorf("statistics of program %s: %w", name, err)
		}
		runs = append(runs, Run{name, stats.RunCount, stats.Runtime})
	}
	slices.SortFunc(runs, func(a, b Run) int { return strings.Compare(a.Name, b.Name) })
	return runs, nil
}

// loadPrograms loads those of the named programs that are not loaded yet. Most
// of the time goes to the verifier, which can check several programs at once,
// and need not check those that nothing uses.
func (p *Probe) loadPrograms(names []string) error {
	p.programs.Lock()
	defer p.programs.Unlock()
	from := p.from
	if from == nil {
		from = p.object.open(btf.NewCache())
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	loaded := make([]*ebpf.Program, len(names))
	for i, name := range names {
		if p.coll.Programs[name] != nil {
			continue
		}
		group.Go(func() (err error) {
			loaded[i], err = p.loadProgram(name, from)
			return err
		})
	}
	err := group.Wait()
	for i, prog := range loaded {
		if prog != nil {
			p.coll.Programs[names[i]] = prog // Close closes it
		}
	}
	return err
}

// loadProgram loads one program of the collection with its maps.
func (p *Probe) loadProgram(name string, from *source) (*ebpf.Program, error) {
	spec, err := from.program(name)
	if err != nil {
		return nil, err
	}
	one, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: p.coll.Maps, Cache: from.types})
	if err != nil {
		return nil, loadError(err)
	}
	defer one.Close()
	return one.DetachProgram(name), nil
}

// registerFamilies makes the loaded programs of families the targets of
// sys_exit's jumps.
func (p *Probe) registerFamilies() error {
	for f := event.Family(1); f < event.NumFamilies; f++ {
		name := program(f)
		prog := p.coll.Programs[name]
		if prog == nil {
			continue
		}
		if err := p.coll.Maps["families"].Put(uint32(f), prog); err != nil {
			return fmt.Errorf("register program %s: %w", name, err)
		}
	}
	return nil
}
