package probe

import (
	"fmt"

	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// OpenFilter tells which opens a rule may match; plan.Opens has the same
// fields and explains them. Names is what the probe cannot tell: a process may
// have changed its name since its exec. What it asks for is asked for always.
type OpenFilter struct {
	Paths  *pathset.Set
	Names  map[string]uint64
	Always uint64
}

// openFilter is struct open_filter of bpf/filter.h.
type openFilter struct {
	Always  uint64
	Classes [256]uint8
	Next    [pathset.MaxStates * pathset.MaxClasses]uint16
	Seen    [pathset.MaxStates]uint64
	End     [pathset.MaxStates]uint64
}

// table is the form that the kernel reads.
func (f *OpenFilter) table() *openFilter {
	t := &openFilter{Always: f.Always, Classes: f.Paths.Classes}
	for _, mask := range f.Names {
		t.Always |= mask
	}
	copy(t.Next[:], f.Paths.Next)
	copy(t.Seen[:], f.Paths.Seen)
	copy(t.End[:], f.Paths.End)
	return t
}

// setOpenFilter puts f beside the filter that is in use, and returns what the
// table of interest must say for it to take the other's place: 0 for no filter.
func (p *Probe) setOpenFilter(f *OpenFilter) (uint64, error) {
	if f == nil || f.Paths == nil {
		return 0, nil
	}
	p.openFilter ^= 1
	if err := p.coll.Maps["open_filters"].Put(uint32(p.openFilter), f.table()); err != nil {
		return 0, fmt.Errorf("tell the probe which opens to send: %w", err)
	}
	return uint64(p.openFilter) + 1, nil
}
