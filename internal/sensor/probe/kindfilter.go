package probe

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// KindFilter tells which rules can match a call of a kind; plan.Kinds has the
// same fields and explains them.
type KindFilter struct {
	Plan          uint32 // differs from that of other rules, and from 0
	Always, Named [event.NumKinds][event.NumCallFacts][2]uint64
	Names         map[string][2]uint64
	Specials      map[event.Kind]Special
}

// Special is plan.Special.
type Special struct {
	Arg         int
	Mask, Value uint64
}

// ruleNeeds is struct rule_needs of bpf/mask.h.
type ruleNeeds struct{ Always, Named [2]uint64 }

// specialArg is struct special of bpf/mask.h.
type specialArg struct {
	Mask, Value        uint64
	Arg                uint32
	Sockets, Addresses uint16
}

// ruleMasks is struct rule_masks of bpf/mask.h.
type ruleMasks struct {
	Plan     uint64
	Nameless [2]uint64
	Specials [numSocketKinds]specialArg
	Kinds    [numSocketKinds][event.NumCallFacts]ruleNeeds
	Sockets  [maxMaskedSockets][event.NumSocketFacts][2]uint64
}

const noArg = 6 // syscalls have six arguments

// table is the form that the kernel reads, without the names. Rules that ask for
// a name without room are for processes of all names.
func (f *KindFilter) table(names map[processName]nameNeeds, sockets *SocketFilter) *ruleMasks {
	var roomless [2]uint64
	for name, rules := range f.Names {
		if _, ok := names[keyOf(name)]; !ok && len(name) <= maxName {
			roomless = union(roomless, rules)
		}
	}
	t := &ruleMasks{Plan: uint64(f.Plan)}
	next := uint16(0)
	for kind := range f.Always {
		for facts := range f.Always[kind] {
			n := ruleNeeds{f.Always[kind][facts], f.Named[kind][facts]}
			for i := range n.Always {
				n.Always[i] |= n.Named[i] & roomless[i]
			}
			t.Kinds[kind][facts] = n
		}
		t.Specials[kind].Arg = noArg
		if s, ok := f.Specials[event.Kind(kind)]; ok {
			t.Specials[kind] = specialArg{Mask: s.Mask, Value: s.Value, Arg: uint32(s.Arg)}
		}
		if sockets == nil || next == maxMaskedSockets {
			continue
		}
		if sets := sockets.Rules[event.Kind(kind)]; sets != nil {
			t.Sockets[next] = *sets
			next++
			t.Specials[kind].Sockets = next
		}
	}
	return t
}

func union(a, b [2]uint64) [2]uint64 { return [2]uint64{a[0] | b[0], a[1] | b[1]} }

// setMasks puts the masks beside those in use, and returns what the table of
// interest must say for them to take the others' place: 0 for none.
func (p *Probe) setMasks(i *Interest, names map[processName]nameNeeds) (slot uint64, err error) {
	if i.Kinds == nil {
		return 0, nil
	}
	p.masks ^= 1
	t := i.Kinds.table(names, i.Sockets)
	if i.Addresses != nil {
		// The kernel may have no memory for many networks.
		if err := p.setAddresses(i.Addresses, i.Kinds.Plan); err != nil {
			p.log.Warn("the kernel does not filter calls on sockets by address", "error", err)
		} else {
			i.Addresses.mark(t)
		}
	}
	if err := p.coll.Maps["rule_masks"].Put(uint32(p.masks), t); err != nil {
		return 0, fmt.Errorf("tell the probe which rules need which calls: %w", err)
	}
	p.plan.Store(i.Kinds.Plan)
	return uint64(p.masks) + 1, nil
}

// SetHost tells the probe whether the processes in a set of groups, as events
// give it, are in no container. Until it is told, they may be in one.
func (p *Probe) SetHost(groups []byte, host bool) error {
	m := p.coll.Maps["host_groups"]
	if len(groups) != int(m.KeySize()) {
		return fmt.Errorf("groups of %d bytes: expected %d", len(groups), m.KeySize())
	}
	if host {
		return m.Update(groups, uint64(1), ebpf.UpdateAny)
	}
	if err := m.Delete(groups); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return nil
}
