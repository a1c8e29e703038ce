package probe

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// OpenFilter tells which opens a rule may match; plan.Opens has the same
// fields and explains them.
type OpenFilter struct {
	Paths  *pathset.Set
	Names  map[string]uint64
	Always uint64
}

// openFilter is struct open_filter of bpf/filter.h.
type openFilter struct {
	Epoch   uint64
	Always  uint64
	Named   uint64
	Classes [256]uint8
	Next    [pathset.MaxStates * pathset.MaxClasses]uint16
	Seen    [pathset.MaxStates]uint64
	End     [pathset.MaxStates]uint64
}

// processName is struct name of bpf/filter.h.
type processName [16]byte

// maxNames is how many names the probe has room for.
const maxNames = 1024

// table is the form that the kernel reads, with the names beside it. Names for
// which there is no room are asked for always.
func (f *OpenFilter) table() (*openFilter, map[processName]uint64) {
	t := &openFilter{Always: f.Always, Classes: f.Paths.Classes}
	names := map[processName]uint64{}
	for name, mask := range f.Names {
		switch {
		case len(name) > 15: // no process has such a name
		case name == "" || len(names) == maxNames/2: // half: the old names leave after the new have come
			t.Always |= mask
		default:
			var key processName
			copy(key[:], name)
			names[key] = mask
			t.Named |= mask
		}
	}
	copy(t.Next[:], f.Paths.Next)
	copy(t.Seen[:], f.Paths.Seen)
	copy(t.End[:], f.Paths.End)
	return t, names
}

// setOpenFilter puts f beside the filter that is in use, and returns what the
// table of interest must say for it to take the other's place: 0 for no
// filter. Until then the old filter asks for the new one's names as well; tidy
// removes those that are no longer needed.
func (p *Probe) setOpenFilter(f *OpenFilter) (slot uint64, tidy func() error, err error) {
	if f == nil || f.Paths == nil {
		return 0, func() error { return nil }, nil
	}
	t, names := f.table()
	for name, mask := range names {
		var old uint64
		if p.coll.Maps["open_names"].Lookup(name, &old) == nil {
			mask |= old
		}
		if err := p.coll.Maps["open_names"].Put(name, mask); err != nil {
			return 0, nil, fmt.Errorf("tell the probe whose opens to send: %w", err)
		}
	}
	p.openFilter ^= 1
	p.openEpoch++
	t.Epoch = p.openEpoch
	if err := p.coll.Maps["open_filters"].Put(uint32(p.openFilter), t); err != nil {
		return 0, nil, fmt.Errorf("tell the probe which opens to send: %w", err)
	}
	return uint64(p.openFilter) + 1, func() error { return p.tidyNames(names) }, nil
}

// tidyNames leaves exactly the given names.
func (p *Probe) tidyNames(names map[processName]uint64) error {
	var gone []processName
	var name processName
	var mask uint64
	all := p.coll.Maps["open_names"].Iterate()
	for all.Next(&name, &mask) {
		if _, ok := names[name]; !ok {
			gone = append(gone, name)
		}
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("read the names in the probe: %w", err)
	}
	for _, name := range gone {
		if err := p.coll.Maps["open_names"].Delete(name); err != nil {
			return fmt.Errorf("remove a name from the probe: %w", err)
		}
	}
	for name, mask := range names {
		if err := p.coll.Maps["open_names"].Put(name, mask); err != nil {
			return fmt.Errorf("set a name in the probe: %w", err)
		}
	}
	return nil
}

// learnName tells the probe the name of a process that was there before it;
// what it knows itself is newer.
func (p *Probe) learnName(v *event.View) {
	comm, ok := v.Str(taskComm)
	if !ok {
		return
	}
	var name processName
	copy(name[:15], comm)
	// Full or known: opens of a process without a name are always sent.
	_ = p.coll.Maps["process_names"].Update(v.Header().PID, name, ebpf.UpdateNoExist)
}

var taskComm = event.KindTask.Info().Slot("comm")
