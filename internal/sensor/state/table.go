// Package state keeps what the kernel forgets: the processes, with their
// command lines and ancestry, and the users and groups. It is fed by the
// events of the probe (or of a capture) and owned by the engine's goroutine.
//
// For each event the engine calls Apply, evaluates the event about the process
// that Apply returns, and calls Done; about once a second it calls Tick.
// Strings in a Process are owned by the table and never change in place;
// a Process itself must not be kept across events, since it is used again.
package state

import (
	"log/slog"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Options are the table's settings; the zero value is for captures: it never
// asks /proc.
type Options struct {
	Log *slog.Logger
	// ProcRoot is where procfs is mounted, "/proc"; empty for captures, whose
	// processes are not those of this machine.
	ProcRoot string
	// HostRoot is where the host's root is mounted, for /etc/passwd; empty
	// for none (captures).
	HostRoot string
	// MaxProcesses bounds the table; 0 for DefaultMaxProcesses.
	MaxProcesses int
	// PurgeInterval and PurgeTimeout are how often processes are looked for
	// whose exit was lost, and how long they must have been silent; 0 for
	// DefaultPurge.
	PurgeInterval, PurgeTimeout time.Duration
	// Clock returns the time since boot, by which Header.Time is measured; nil
	// for CLOCK_BOOTTIME.
	Clock func() time.Duration
	// Containers are the settings of the containers' registry.
	Containers container.Options
}

// Defaults, as Falco's.
const (
	DefaultMaxProcesses = 262144
	DefaultPurge        = 300 * time.Second
)

// Table is the table of processes.
type Table struct {
	processes map[int32]*Process
	last      *Process            // of the last event
	scratch   *Process            // stands for processes that are not kept
	numbers   map[number]*Process // those in pid namespaces of their own

	live       int // entries of processes, without those that are gone
	max        int
	graves     graveyard
	generation uint64
	facts      uint64 // see FactsVersion
	in         interner
	buf        []byte // for strings under construction

	containers container.Registry
	proc       *procReader // nil for captures
	users      *users
	purge      purge
	log        *slog.Logger
	stats      Stats
	redated    time.Duration // sum of all Redate
}

// NewTable returns an empty table.
func NewTable(o Options) *Table {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	t := &Table{
		processes:  make(map[int32]*Process),
		numbers:    make(map[number]*Process),
		max:        o.MaxProcesses,
		containers: container.NewRegistry(o.Containers),
		users:      newUsers(o.HostRoot, o.ProcRoot),
		purge:      newPurge(o),
		log:        o.Log,
	}
	if t.max <= 0 {
		t.max = DefaultMaxProcesses
	}
	if o.ProcRoot != "" {
		t.proc = newProcReader(o.ProcRoot, o.Clock)
	}
	t.scratch = t.blank()
	return t
}

// Apply brings the table up to date with an event of time timeNS (ns since the
// epoch), and returns the process in which it happened: the one that forked,
// for a fork; the one with its new image, for an exec. The result is never
// nil, and valid until Done.
func (t *Table) Apply(v *event.View, timeNS uint64) *Process {
	h := v.Header()
	if h.Flags&event.Late != 0 {
		return t.applyLate(v, timeNS)
	}
	p := t.last
	if p == nil || p.PID != int32(h.PID) || p.Start != h.Start || p.gone || !p.Known || h.Kind == event.KindTask {
		if p = t.find(v, timeNS); p == t.scratch {
			return p
		}
		t.last = p
		t.stats.LookupsUncached++
	} else {
		t.stats.LookupsCached++
	}
	if h.Time < p.fresh {
		// A snapshot has told more already, but not of processes that had gone
		// when it was made.
		if h.Kind == event.KindProcfork || h.Kind == event.KindProcexit {
			t.applyState(p, v, timeNS)
		}
		return p
	}
	p.seen = h.Time
	if p.joined != nil {
		t.setCaps(p, *p.joined)
	}
	t.checkHeader(p, h)
	if dir, ok := v.CWD(); ok {
		t.setDir(p, dir)
		t.changed(p)
	}
	if tells[h.Kind] {
		t.applyState(p, v, timeNS)
	}
	t.renumber(p)
	return p
}

// find returns the entry for the event's process, which it creates if missing,
// or t.scratch filled from the header alone if it cannot keep one.
func (t *Table) find(v *event.View, timeNS uint64) *Process {
	h := v.Header()
	switch h.Kind {
	case event.KindTask:
		return t.applyTask(v, timeNS)
	case event.KindUseradded, event.KindUserdeleted, event.KindGroupadded, event.KindGroupdeleted:
		t.users.apply(v)
		return t.stranger(h)
	case event.KindContainer, event.KindAsyncevent:
		t.applyContainer(v)
		return t.stranger(h)
	}
	if h.PID == 0 { // the idle task, or of no process at all
		return t.stranger(h)
	}
	p := t.processes[int32(h.PID)]
	switch {
	case p == nil:
	case p.is(h.Start):
		if p.gone {
			if h.Kind == event.KindProcexit || h.Time <= p.died || t.full() {
				return p
			}
			t.revive(p) // its main thread had exited, others go on
		}
		if !p.Known && !p.asked && h.Kind != event.KindProcexit {
			t.refetch(p, h)
		}
		return p
	case h.Start < p.Start:
		// Of an earlier process of that pid; the newer one is known already.
		return t.stranger(h)
	}
	// Not known: its fork was lost, or it is older than the sensor.
	if h.Kind == event.KindProcexit {
		return t.stranger(h) // no use in knowing it now
	}
	if p = t.newProcess(int32(h.PID)); p == nil {
		return t.stranger(h)
	}
	p.fromHeader(h)
	t.refetch(p, h)
	return p
}

// stranger fills t.scratch from the header.
func (t *Table) stranger(h *event.Header) *Process {
	p := t.scratch
	mask, memo := p.Mask, p.Memo
	*p = Process{Mask: mask, Memo: memo}
	p.setUnknown()
	p.PID = int32(h.PID)
	p.fromHeader(h)
	t.changed(p)
	return p
}

// Done ends the evaluation of the event: a process whose exit it was leaves
// the table.
func (t *Table) Done(v *event.View) {
	if v.Kind() != event.KindProcexit {
		return
	}
	if p := t.last; p != nil && p.Dead && !p.gone && p.PID == int32(v.Header().PID) {
		t.orphan(p, int32(v.Int(event.ProcexitReaperTid)))
		t.bury(p)
	}
}

// Get returns the process with the given pid, nil if it is not in the table.
func (t *Table) Get(pid int32) *Process {
	if p := t.processes[pid]; p != nil && !p.gone {
		return p
	}
	return nil
}

// Len is the number of processes in the table.
func (t *Table) Len() int { return t.live }

// All calls yield for every process until that returns false.
func (t *Table) All(yield func(*Process) bool) {
	for _, p := range t.processes {
		if !p.gone && !yield(p) {
			return
		}
	}
}

// UpdateContainer fills in the metadata of a container, see
// container.Registry.Update.
func (t *Table) UpdateContainer(m container.Container) {
	t.changedContainer(t.containers.Update(m))
}

// UpdateWorkload stores facts from the API server about a pod, see
// container.Registry.UpdateWorkload.
func (t *Table) UpdateWorkload(uid string, w *container.Workload) {
	for _, c := range t.containers.UpdateWorkload(uid, w) {
		t.changedContainer(c)
	}
}

// applyContainer stores container metadata from a capture; the table ignores
// other async events.
func (t *Table) applyContainer(v *event.View) {
	text, _ := v.Bytes(event.ContainerJson)
	if v.Kind() == event.KindAsyncevent {
		if name, _ := v.Str(event.AsynceventName); name != "container" {
			return
		}
		text, _ = v.Bytes(event.AsynceventData)
	}
	if n := len(text); n > 0 && text[n-1] == 0 {
		text = text[:n-1]
	}
	if m, err := container.Parse(text); err == nil {
		t.UpdateContainer(m)
	}
}

// Containers is the registry of the containers of the table's processes. It is
// for reading; metadata comes by UpdateContainer and UpdateWorkload.
func (t *Table) Containers() *container.Registry { return &t.containers }
