package probe

import (
	"fmt"
	"unsafe"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Fate is what became of an event.
type Fate uint8

// Tally counts events of one fate.
type Tally struct {
	Events uint64
	Ns     uint64 // that they took, while Measure runs
}

// Tallies count the events by the family whose program made them, and by their
// fate. Family 0 is the life of processes: execs, forks, exits.
type Tallies [16][4]Tally

// Counters count the requested events by their fate, summed over all CPUs since
// Load. Seen = Filtered + Delivered + Dropped(). Forks and execs that are told late
// count twice: as filtered, and when they are told.
type Counters struct {
	Seen      uint64
	Filtered  uint64 // Masked ones too
	Delivered uint64

	Tallies Tallies
	Drops   event.Drops

	// Faults are parameters that could not be read from the task's memory; the
	// events were delivered without them.
	Faults uint64
	// Foreign are x32 syscalls without a counterpart; they are not in Seen.
	Foreign uint64

	Masks MaskCounters

	// CPUs are Seen and Dropped of each CPU.
	CPUs []CPU
}

// CPU counts the events of one CPU.
type CPU struct{ Seen, Dropped uint64 }

// Dropped is the number of lost events.
func (c *Counters) Dropped() uint64 { return c.Drops.Total() }

// cpuCounters is struct counters of bpf/counters.h.
type cpuCounters struct {
	Seen            uint64
	Tallies         Tallies
	Drops           event.Drops
	Faults, Foreign uint64
	StaleMasks      uint64
	_               [4]uint64
}

// Counters reads the counters of all CPUs.
func (p *Probe) Counters() (*Counters, error) {
	sum, c := &Counters{CPUs: make([]CPU, 0, p.cpus)}, new(cpuCounters)
	for cpu := range p.cpus {
		if err := p.read(uint32(cpu), c); err != nil {
			return nil, fmt.Errorf("read the probe's counters of CPU %d: %w", cpu, err)
		}
		sum.add(c)
		sum.CPUs = append(sum.CPUs, CPU{c.Seen, c.Drops.Total()})
	}
	sum.Masks.Written, sum.Masks.Held = p.processMasks.written.Load(), p.processMasks.held(p.plan.Load())
	return sum, nil
}

// looks bounds how often a CPU is looked at before its counters are taken as
// they are: an event takes microseconds.
const looks = 1000

// read reads the counters of a CPU at a moment at which no event is under way
// there: seen already, and not yet filtered, delivered or dropped.
func (p *Probe) read(cpu uint32, c *cpuCounters) error {
	for range looks {
		// As memory of the map's size: by its type, the library would look at it
		// with reflection each time.
		if err := p.coll.Maps["counts"].Lookup(cpu, unsafe.Pointer(c)); err != nil {
			return err
		}
		if c.Seen == c.Tallies.total() {
			break
		}
	}
	return nil
}

func (c *Counters) add(o *cpuCounters) {
	c.Seen += o.Seen
	c.Masks.Filtered += o.Tallies.of(Masked)
	c.Filtered += o.Tallies.of(Filtered) + o.Tallies.of(Masked)
	c.Delivered += o.Tallies.of(Delivered)
	c.Faults += o.Faults
	c.Foreign += o.Foreign
	c.Masks.Stale += o.StaleMasks
	c.Drops.Add(&o.Drops)
	for family := range o.Tallies {
		for fate, t := range o.Tallies[family] {
			c.Tallies[family][fate].Events += t.Events
			c.Tallies[family][fate].Ns += t.Ns
		}
	}
}

// of is the number of events of a fate.
func (t *Tallies) of(f Fate) (n uint64) {
	for family := range t {
		n += t[family][f].Events
	}
	return n
}

func (t *Tallies) total() uint64 {
	return t.of(Delivered) + t.of(Filtered) + t.of(Masked) + t.of(Dropped)
}
