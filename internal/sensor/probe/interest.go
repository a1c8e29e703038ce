package probe

import (
	"runtime"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Interest selects the events that the probe sends. The life of processes
// (execs, forks, the exit of a process) is always sent.
type Interest struct {
	Syscalls    []event.ID
	ThreadExits bool // the exit of every thread, not just of the last one
	// ClosedFiles requests the descriptors of closes as they were before; it
	// costs every syscall of the host a few ns.
	ClosedFiles bool
	// OpenFDs requests the open descriptors in events of these kinds; kernels
	// before 6.2 do not provide them. Every call that makes such an event, sent or
	// not, costs the time to look at each descriptor of its process.
	OpenFDs event.KindSet
	// Opens says which calls of open, openat and openat2 may be left out; nil
	// for none. They are counted as filtered.
	Opens *OpenFilter
	// Sockets says the same of calls on sockets.
	Sockets *SocketFilter
	// Addresses says the same of calls on sockets by their addresses; it needs
	// Kinds.
	Addresses *AddressFilter
	// Kinds says the same of calls of every kind.
	Kinds *KindFilter
	// Execs has execs that no rule can match, and forks and exits of processes
	// that make no others, told late or not at all; nil has them sent.
	Execs *ExecFilter
}

// calls is i without what may be left out of it: filters are big, and once the
// kernel has them, nothing looks at them.
func (i Interest) calls() Interest {
	i.Opens, i.Sockets, i.Addresses, i.Kinds, i.Execs = nil, nil, nil, nil, nil
	return i
}

// entry is struct entry of bpf/interest.h: the meaning of one syscall number.
type entry struct {
	ID       uint16
	Kind     uint16
	Family   uint8
	Category uint8
	NR       uint16
}

// abiEntries is struct abi_entries: a number in the machine's own ABI and in
// its 32-bit one.
type abiEntries struct{ Native, Compat entry }

// interestData is struct interest, the section .data.interest: the settings
// that can change at run time.
type interestData struct {
	Syscalls    [numSyscalls]abiEntries
	Socketcalls [32]entry
	ThreadExits uint64
	OpenFilter  uint64
	Masks       uint64
	Execs       uint64
	OpenFDs     [numSocketKinds / 64]uint64
	Sockets     [numSocketKinds]socketNeeds
	_           [4]uint64 // the structure is aligned to 64 bytes
}

const numSyscalls = 512 // SYSCALLS of bpf/interest.h

// abis are the numberings of the machine's own tasks and of its 32-bit ones.
func abis() (native, compat event.ABI) {
	if runtime.GOARCH == "arm64" {
		return event.ARM64, event.ARM
	}
	return event.AMD64, event.I386
}

// table builds the kernel's tables from the interest: the first thing that
// the probe looks at in every syscall.
func (i Interest) table() *interestData {
	var t interestData
	native, compat := abis()
	for _, id := range i.Syscalls {
		e := newEntry(id)
		if nr, ok := id.Number(native); ok && nr < numSyscalls {
			e.NR = uint16(nr)
			t.Syscalls[nr].Native = e
		}
		if nr, ok := id.Number(compat); ok && nr < numSyscalls {
			e.NR = uint16(nr)
			t.Syscalls[nr].Compat = e
		}
	}
	if compat == event.I386 {
		t.addSocketcalls(i.Syscalls)
	}
	if i.ThreadExits {
		t.ThreadExits = 1
	}
	copy(t.OpenFDs[:], i.OpenFDs[:])
	t.Sockets = i.Sockets.table(i.names())
	return &t
}

// socketcalls are the calls that i386's socketcall multiplexes, from 1
// (include/uapi/linux/net.h).
var socketcalls = [...]string{
	1: "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair",
	"send", "recv", "sendto", "recvfrom", "shutdown", "setsockopt", "getsockopt", "sendmsg", "recvmsg",
	"accept4", "recvmmsg", "sendmmsg",
}

func (t *interestData) addSocketcalls(wanted []event.ID) {
	mux, ok := event.SyscallByName("socketcall")
	if !ok {
		return
	}
	nr, ok := mux.Number(event.I386)
	if !ok {
		return
	}
	for call, name := range socketcalls {
		for _, id := range wanted {
			if name == "" || id.String() != name {
				continue
			}
			e := newEntry(id)
			e.NR = uint16(nr)
			t.Socketcalls[call] = e
			t.Syscalls[nr].Compat = entry{ID: uint16(mux), Family: socketcallFamily, Category: uint8(event.LostOtherInterest), NR: uint16(nr)}
		}
	}
}

func newEntry(id event.ID) entry {
	kind := id.Kind()
	info := kind.Info()
	return entry{ID: uint16(id), Kind: uint16(kind), Family: uint8(info.Family), Category: uint8(info.Lost)}
}
