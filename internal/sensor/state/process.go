package state

import (
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Process is the state of one process (thread group). The engine's goroutine
// owns it; strings in it are owned or interned, never borrowed.
//
// Until the process is known (its fork was lost and /proc has nothing), Known
// is false, strings are empty and ids are -1: fields then read as Falco's do
// for an unknown thread ("<NA>").
type Process struct {
	PID   int32
	PPID  int32 // thread group id of the real parent; 0 for none
	VPID  int32 // in its own pid namespace
	SID   int32 // session, as its leader's pid in the process's pid namespace
	PGID  int32
	VPGID int32
	// Start is the boot-time ns at which the leader started. PID and Start
	// together are the identity of a process: a pid alone is reused.
	Start  uint64
	ExecID uint32

	Known bool
	// Told says that the kernel told its image with the event that made it
	// known; /proc may tell of a later one.
	Told bool
	// Dead is set by its exit; the entry stays until the event that reports
	// the exit has been evaluated, and longer while children need ancestors.
	Dead bool

	Comm    string // name, at most 15 bytes (proc.name)
	Exe     string // argv[0] (proc.exe)
	ExePath string // resolved by the kernel (proc.exepath)
	CWD     string // ends with '/' (proc.cwd)
	Root    string
	// Args and Env are NUL-separated, each entry with its NUL; Args is argv[1:].
	Args string
	Env  string
	// Cmdline is Comm and Args joined by blanks (proc.cmdline).
	Cmdline string

	UID, GID, LoginUID uint32 // effective; 0xffffffff is "none"
	CapInheritable     uint64
	CapPermitted       uint64
	CapEffective       uint64
	// joined are the three of its new user namespace (see setCaps); nil for none.
	joined *[3]uint64
	TTY    uint32

	ExeFlags    event.ExeFlags
	ExeIno      uint64
	ExeCTime    uint64 // ns since the epoch
	ExeMTime    uint64
	ForkTime    uint64 // event time (ns since the epoch) at which it was cloned
	ExecTime    uint64 // event time of the last exec
	PIDNSStart  uint64 // ns since the epoch at which the pid namespace's init started
	VMSize      uint32 // kB, at the last exec
	VMRSS       uint32
	VMSwap      uint32
	MajorFaults uint64
	MinorFaults uint64
	FDLimit     uint64

	Threads int32 // alive, as far as known

	CgroupID  uint64
	Cgroups   string // "subsys=path", NUL-separated
	MntNS     uint32
	PIDNS     uint32
	Container *container.Container // never nil; container.Host for none

	// Events counts the events that happened in it, for people.
	Events uint64

	// Generation changes whenever anything above changes, or anything that a
	// condition about this process can see: an ancestor's image, the
	// container's metadata. Values cached per process are valid while Generation
	// is the same, but those of conditions about the leaders of its session and
	// process group, which are not always ancestors.
	Generation uint64
	// Mask caches, for the engine, the rules that can still match events of
	// this process; MaskGeneration is the Generation it was made at.
	Mask           []uint64
	MaskGeneration uint64
	// Memo caches the values of sub-conditions that depend on the process
	// alone: two bits each (known, value); valid while MaskGeneration is.
	Memo []uint64

	// Quiet counts, for the engine, events that matched no rule.
	Quiet Quiet

	seen   uint64 // Header.Time of the last event
	execed uint64 // Header.Time of the last exec
	fresh  uint64 // Header.Time of the snapshot that it comes from: older events know less
	died   uint64 // Header.Time of its exit; 0 while it lives
	asked  bool   // /proc has been asked about this image
	// coarse: Start is from /proc, in clock ticks.
	coarse bool
	// adopt: /proc, from which it comes, does not tell ExecID and CgroupID;
	// those of the next event's header are right.
	adopt bool
	// gone: it has left the table and waits in the graveyard for stragglers;
	// disposed: it has left that too, and stays for its children. See dead.go.
	gone, disposed bool

	// The tree of processes, see tree.go. parent is nil until it is looked up.
	parent, child, older, younger *Process
	// number is p's key in Table.numbers, if it is in a pid namespace; namesake
	// is another process with the same key: its exit was lost, or a capture does
	// not distinguish the namespaces.
	number   number
	namesake *Process
}

// Quiet counts events of a process that matched no rule, and the rules that can
// match it by its own facts, as of a Generation.
type Quiet struct {
	Since      uint64 // Header.Time of the first one
	Events     uint32
	Some       bool // some rule cannot match
	Rules      [2]uint64
	Generation uint64
}

// noID stands for "none" and "not known" in ids.
const noID = 0xffffffff

// setUnknown sets the ids of an unknown process.
func (p *Process) setUnknown() {
	p.PID, p.PPID, p.VPID, p.SID, p.PGID, p.VPGID = -1, -1, -1, -1, -1, -1
	p.UID, p.GID, p.LoginUID = noID, noID, noID
	p.Container = container.Host
}

// fromHeader sets the fields in the header of an event.
func (p *Process) fromHeader(h *event.Header) {
	p.PPID, p.Start, p.ExecID = int32(h.PPID), h.Start, h.ExecID
	p.UID, p.GID, p.LoginUID = h.UID, h.GID, h.LoginUID
	p.CgroupID, p.MntNS, p.PIDNS = h.Cgroup, h.MntNS, h.PIDNS
	p.seen = h.Time
}

// tick is the unit of start times in /proc, in ns.
const tick = uint64(procfs.Tick)

// is says whether p is the process of its pid that started at start; 0 is not
// known. A coarse start becomes the exact one.
func (p *Process) is(start uint64) bool {
	switch {
	case p.Start == start || start == 0:
		return true
	case p.Start == 0, p.coarse && start-start%tick == p.Start:
		p.Start, p.coarse = start, false
		return true
	}
	return false
}
