package probe

import (
	"fmt"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Category is the kind of syscall that a lost event was, as Falco's drop
// counters divide them.
type Category uint8

// The categories; the numbers are those of bpf/scratch.h.
const (
	CloneFork Category = iota
	Execve
	Connect
	Open
	DirFile
	Close
	Proc // exits
	Other
	NumCategories
)

// String is the word that Falco's counters use.
func (c Category) String() string {
	return [...]string{"clone_fork", "execve", "connect", "open", "dir_file", "close", "proc", "other_interest"}[c]
}

// Drops counts lost events by category.
type Drops [NumCategories]uint64

// Total is the sum over the categories.
func (d *Drops) Total() uint64 {
	var n uint64
	for _, c := range d {
		n += c
	}
	return n
}

// Counters say what became of the events that the probe was asked for, summed
// over all CPUs since Load. Seen = Filtered + Delivered + Dropped().
type Counters struct {
	Seen      uint64
	Filtered  uint64 // decided in the kernel: nobody needs it
	Delivered uint64 // put into a ring

	Buffer    Drops // the ring was full
	PageFault Drops // the task's memory could not be read, and nothing could be said without it
	Scratch   Drops // an event interrupted another on the same CPU
	OtherDrop Drops // anything else; a defect

	// Faults are parameters that could not be read from the task's memory; the
	// events were delivered without them.
	Faults uint64
	// Foreign are x32 syscalls without a counterpart; they are not in Seen.
	Foreign uint64
}

// Dropped is the number of lost events.
func (c *Counters) Dropped() uint64 {
	return c.Buffer.Total() + c.PageFault.Total() + c.Scratch.Total() + c.OtherDrop.Total()
}

// cpuCounters is struct counters of bpf/scratch.h.
type cpuCounters struct {
	Seen, Filtered, Delivered uint64
	Drops                     [4]Drops
	Faults, Foreign           uint64
	_                         [3]uint64
}

// Counters reads the counters of all CPUs.
func (p *Probe) Counters() (Counters, error) {
	var sum Counters
	for cpu := range p.cpus {
		var c cpuCounters
		if err := p.coll.Maps["counts"].Lookup(uint32(cpu), &c); err != nil {
			return Counters{}, fmt.Errorf("read the probe's counters of CPU %d: %w", cpu, err)
		}
		sum.add(&c)
	}
	return sum, nil
}

func (c *Counters) add(o *cpuCounters) {
	c.Seen += o.Seen
	c.Filtered += o.Filtered
	c.Delivered += o.Delivered
	c.Faults += o.Faults
	c.Foreign += o.Foreign
	for i, d := range []*Drops{&c.Buffer, &c.PageFault, &c.Scratch, &c.OtherDrop} {
		for j := range d {
			d[j] += o.Drops[i][j]
		}
	}
}

// categoryOf is the category of a kind, after Falco's division.
func categoryOf(k event.Kind) Category {
	switch k {
	case event.KindClone, event.KindClone3, event.KindFork, event.KindVfork, event.KindProcfork:
		return CloneFork
	case event.KindExecve, event.KindExecveat:
		return Execve
	case event.KindConnect:
		return Connect
	case event.KindOpen, event.KindOpenat, event.KindOpenat2, event.KindCreat, event.KindOpenByHandleAt:
		return Open
	case event.KindDup, event.KindDup2, event.KindDup3,
		event.KindChmod, event.KindFchmod, event.KindFchmodat, event.KindFchmodat2,
		event.KindChown, event.KindLchown, event.KindFchown, event.KindFchownat,
		event.KindLink, event.KindLinkat, event.KindSymlink, event.KindSymlinkat,
		event.KindMkdir, event.KindMkdirat, event.KindRmdir, event.KindUnlink, event.KindUnlinkat,
		event.KindRename, event.KindRenameat, event.KindRenameat2:
		return DirFile
	case event.KindClose:
		return Close
	case event.KindProcexit:
		return Proc
	}
	return Other
}
