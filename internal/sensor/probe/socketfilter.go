package probe

import "github.com/peregrine-sec/peregrine/internal/sensor/event"

// SocketFilter tells which calls on sockets a rule may match; plan.Sockets has
// the same fields and explains them.
type SocketFilter struct {
	Always, Named map[event.Kind]uint64
	Names         map[string]uint64
	Rules         map[event.Kind]*[event.NumSocketFacts][2]uint64
}

// socketNeeds is struct socket_needs of bpf/interest.h.
type socketNeeds struct{ Always, Named uint64 }

// table is the form that the kernel reads: all calls of kinds that the filter
// does not speak of are needed, and so are those of names without room.
func (f *SocketFilter) table(names map[processName]nameNeeds) (t [numSocketKinds]socketNeeds) {
	for kind := range t {
		t[kind].Always = ^uint64(0)
	}
	if f == nil {
		return t
	}
	var roomless uint64
	for name, mask := range f.Names {
		if _, ok := names[keyOf(name)]; !ok && len(name) <= maxName {
			roomless |= mask
		}
	}
	for kind, always := range f.Always {
		t[kind] = socketNeeds{always | f.Named[kind]&roomless, f.Named[kind]}
	}
	return t
}
