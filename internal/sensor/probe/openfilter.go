package probe

import (
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// OpenFilter tells which opens a rule may match; plan.Opens has the same
// fields and explains them.
type OpenFilter struct {
	Paths  *pathset.Set
	Facts  [event.NumOpenFacts]uint64
	Rest   [pathset.NumClauses]uint64
	Names  map[string]uint64
	Always uint64
	Calls  [event.NumKinds][2]uint64
}

// openFilter is struct open_filter of bpf/filter.h.
type openFilter struct {
	Epoch   uint64
	Always  uint64
	Named   uint64
	Rest    [pathset.NumClauses]uint64
	Facts   [event.NumOpenFacts]uint64
	Calls   [numSocketKinds][2]uint64
	Classes [256]uint8
	Next    [pathset.MaxStates * pathset.MaxClasses]uint16
	Seen    [pathset.MaxStates]pathset.Clauses
	End     [pathset.MaxStates]pathset.Clauses
}

// processName is struct name of bpf/filter.h.
type processName [16]byte

// nameNeeds is struct needs of bpf/record.h: the events needed of processes
// with a name.
type nameNeeds struct {
	Opens, Sockets uint64
	Rules          [2]uint64
}

// with is what either of two needs.
func (n nameNeeds) with(m nameNeeds) nameNeeds {
	return nameNeeds{n.Opens | m.Opens, n.Sockets | m.Sockets, union(n.Rules, m.Rules)}
}

// table is the form that the kernel reads, without the names.
func (f *OpenFilter) table(names map[processName]nameNeeds) *openFilter {
	t := &openFilter{Always: f.Always, Rest: f.Rest, Facts: f.Facts, Classes: f.Paths.Classes}
	for name, mask := range f.Names {
		if _, ok := names[keyOf(name)]; ok {
			t.Named |= mask
		} else if len(name) <= maxName {
			t.Rest[0] |= mask // there is no room for the name
		}
	}
	copy(t.Calls[:], f.Calls[:])
	copy(t.Next[:], f.Paths.Next)
	copy(t.Seen[:], f.Paths.Seen)
	copy(t.End[:], f.Paths.End)
	return t
}

// maxName is the length of the longest name that a process can have.
const maxName = len(processName{}) - 1

func keyOf(name string) (key processName) {
	copy(key[:maxName], name)
	return key
}

// names are the process names with needs. No process has a longer name. Only
// half of the table is used: old names are removed after new ones are added.
func (i *Interest) names() map[processName]nameNeeds {
	all := map[processName]nameNeeds{}
	add := func(name string, n nameNeeds) {
		key := keyOf(name)
		old, known := all[key]
		if len(name) > maxName || name == "" || !known && len(all) == maxNames/2 {
			return
		}
		all[key] = old.with(n)
	}
	if i.Opens != nil {
		for _, name := range slices.Sorted(maps.Keys(i.Opens.Names)) {
			add(name, nameNeeds{Opens: i.Opens.Names[name]})
		}
	}
	if i.Sockets != nil {
		for _, name := range slices.Sorted(maps.Keys(i.Sockets.Names)) {
			add(name, nameNeeds{Sockets: i.Sockets.Names[name]})
		}
	}
	if i.Kinds != nil {
		for _, name := range slices.Sorted(maps.Keys(i.Kinds.Names)) {
			add(name, nameNeeds{Rules: i.Kinds.Names[name]})
		}
	}
	return all
}

// setFilters puts the filter of opens beside the one that is in use, and
// returns what the table of interest must say for it to take the other's place:
// 0 for no filter. Until then the old filter asks for the new one's names as
// well; tidy removes those that are no longer needed.
func (p *Probe) setFilters(i *Interest, names map[processName]nameNeeds) (slot uint64, tidy func() error, err error) {
	if i.Opens == nil || i.Opens.Paths == nil {
		return 0, func() error { return nil }, nil
	}
	for name, n := range names {
		var old nameNeeds
		if p.coll.Maps["named_needs"].Lookup(name, &old) == nil {
			n = n.with(old)
		}
		if err := p.coll.Maps["named_needs"].Put(name, n); err != nil {
			return 0, nil, fmt.Errorf("tell the probe whose calls to send: %w", err)
		}
	}
	t := i.Opens.table(names)
	p.openFilter ^= 1
	p.openEpoch++
	t.Epoch = p.openEpoch
	if err := p.coll.Maps["open_filters"].Put(uint32(p.openFilter), t); err != nil {
		return 0, nil, fmt.Errorf("tell the probe which opens to send: %w", err)
	}
	return uint64(p.openFilter) + 1, func() error { return p.tidyNames(names) }, nil
}

// tidyNames leaves exactly the given names.
func (p *Probe) tidyNames(names map[processName]nameNeeds) error {
	var gone []processName
	var name processName
	var n nameNeeds
	all := p.coll.Maps["named_needs"].Iterate()
	for all.Next(&name, &n) {
		if _, ok := names[name]; !ok {
			gone = append(gone, name)
		}
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("read the names in the probe: %w", err)
	}
	for _, name := range gone {
		if err := p.coll.Maps["named_needs"].Delete(name); err != nil {
			return fmt.Errorf("remove a name from the probe: %w", err)
		}
	}
	for name, n := range names {
		if err := p.coll.Maps["named_needs"].Put(name, n); err != nil {
			return fmt.Errorf("set a name in the probe: %w", err)
		}
	}
	return nil
}

// learnName tells the probe the name of a process that started before it. It
// does not replace a name that the probe has recorded, which is newer.
func (p *Probe) learnName(v *event.View) {
	comm, ok := v.Str(event.TaskComm)
	if !ok {
		return
	}
	var name processName
	copy(name[:15], comm)
	// Full or known: opens of a process without a name are always sent.
	_ = p.coll.Maps["process_names"].Update(v.Header().PID, name, ebpf.UpdateNoExist)
}
