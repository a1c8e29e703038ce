package probe

import (
	"fmt"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Counters say what became of the events that the probe was asked for, summed
// over all CPUs since Load. Seen = Filtered + Delivered + Dropped().
type Counters struct {
	Seen      uint64
	Filtered  uint64 // decided in the kernel: nobody needs it
	Delivered uint64 // put into a ring

	Drops event.Drops

	// Faults are parameters that could not be read from the task's memory; the
	// events were delivered without them.
	Faults uint64
	// Foreign are x32 syscalls without a counterpart; they are not in Seen.
	Foreign uint64
}

// Dropped is the number of lost events.
func (c *Counters) Dropped() uint64 { return c.Drops.Total() }

// cpuCounters is struct counters of bpf/counters.h.
type cpuCounters struct {
	Seen, Filtered, Delivered uint64
	Drops                     event.Drops
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
	c.Drops.Add(&o.Drops)
}
