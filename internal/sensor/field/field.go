package field

import (
	"net/netip"

	"github.com/peregrine-sec/peregrine/internal/sensor/audit/record"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// Type is the type of a field's values, which decides what operators it
// takes, how right-hand values are parsed, and how it prints.
type Type uint8

// The types of fields (spec: libs' PT_*; UINT8..64 and INT8..64 are one type
// each here).
const (
	String  Type = iota // CHARBUF, FSPATH, FSRELPATH
	Int                 // int64
	Uint                // uint64
	Bool                // in Uint: 0 or 1
	Port                // in Uint; right-hand values may be service names
	IPAddr              // in IP
	IPNet               // in IP; right-hand values are networks
	RelTime             // in Uint: ns
	AbsTime             // in Uint: ns since the epoch
	Double              // in Double
	Bytes               // in Str
)

// Stage says when a field's value becomes known; a condition is evaluated as
// early as its fields allow.
type Stage uint8

// The stages, earliest first.
const (
	AtLoad   Stage = iota // evt.type, evt.dir, evt.source, ...: fixed by the kind of event
	AtExec                // depends on the process (and its ancestors, user, container) alone
	AtKernel              // the probe can rule calls out by it (plan.Opens, plan.Sockets); elsewhere as AtEvent
	AtEvent               // anything else
)

// Match says how a field with several values (fd.ip: both ends of a socket;
// proc.aname without an index: every ancestor) is compared.
type Match uint8

// Ways to compare.
const (
	One  Match = iota // a single value
	Any               // true if any value satisfies the operator, != included
	Ends              // as Any, but != only if every value differs (fd.ip, fd.port, fd.net)
	List              // a list field: in = all elements, intersects = at least one
)

// Extractor reads one field, with its argument, from a Context. Exactly the
// getters that its Type and Match call for are set:
//
//	One:  Str (String, Bytes), Int, Uint (Uint, Bool, Port, RelTime, AbsTime), IP, Double
//	Any, Ends, List: Each, EachInt, EachUint or EachIP, which call yield for
//	      every value until it returns false
//
// Besides those, fields that match Any have the getter of a single value: the
// process's own, which is what prints. Names of addresses (fd.sip.name) have
// IP beside Str: a condition compares addresses where there is no name. And
// proc.args has Each beside Str: its single arguments, for transformers of
// lists.
//
// A getter's second result is false when the value is missing. Strings are
// borrowed: they are valid until the next event.
type Extractor struct {
	Type  Type
	Match Match
	Stage Stage // never AtKernel: that is where a field is used, not how it is read

	Str    func(*Context) (string, bool)
	Int    func(*Context) (int64, bool)
	Uint   func(*Context) (uint64, bool)
	Double func(*Context) (float64, bool)
	IP     func(*Context) (netip.Addr, bool)

	// The result is false when there is no value at all.
	Each     func(c *Context, yield func(string) bool) bool
	EachUint func(c *Context, yield func(uint64) bool) bool
	EachInt  func(c *Context, yield func(int64) bool) bool
	EachIP   func(c *Context, yield func(netip.Addr) bool) bool

	literal bool // the same for every event and process
}

// Context is the input of conditions and templates: one event, its process, and
// the state around them. The engine has one Context, and resets it for every
// event.
type Context struct {
	Event *event.View
	// Record is the audit event, for events of that source; they have no Event,
	// Proc or Table.
	Record *record.Record
	// Proc is never nil while an event is evaluated; for facts about
	// processes alone (Stage AtExec), Event is nil.
	Proc  *state.Process
	Table *state.Table
	// Num is evt.num: events are counted from 1.
	Num uint64
	// Time is the event's time in ns since the epoch.
	Time uint64
	// Static holds values that do not change from event to event.
	Static *Static

	// Memo remembers, for package filter, the values of sub-conditions of this
	// event: two bits each (known, value). The engine clears it for every event.
	Memo []uint64

	scratch // values built for this event, e.g. joined paths; see scratch.go
}

// Static holds the environment of the events that fields depend on.
type Static struct {
	Hostname string
	Source   string // as in rules: SyscallSource, K8sAuditSource
	// Snaplen limits how much of a buffer is shown (evt.buffer, evt.arg.data).
	Snaplen int
	Base64  bool // buffer_format_base64
	// StaticFields are the config's static_fields, as %static.KEY.
	StaticFields map[string]string
	// Proc is the mount point of procfs (/proc), for fields that only it can
	// answer. Empty for captures, whose processes are not those of this machine.
	Proc string
	// FDTypes calls yield for every open descriptor of a process of a capture;
	// nil where Proc is asked.
	FDTypes func(pid int32, yield func(n int64, t event.FDType)) bool
}

// Field is an entry of the catalogue.
type Field struct {
	Name  string // without argument: "proc.aname"
	Type  Type
	Match Match
	Stage Stage
	Arg   Arg
	Flags Flags
	Doc   string
	// Bind makes the getter for one argument ("" for none).
	Bind func(arg string) (Extractor, error)

	dotted bool // the argument may follow after a dot: evt.arg.flags
}

// Arg says whether a field takes an argument, as in proc.aname[2].
type Arg uint8

// Argument modes.
const (
	NoArg Arg = iota
	ArgAllowed
	ArgRequired
)

// Flags are restrictions on the use of a field.
type Flags uint16

// Restrictions.
const (
	NoRHS         Flags = 1 << iota // not on the right of an operator
	NoTransformer                   // transformers do not apply
	FilterOnly                      // not in output templates
	Deprecated
	Hex       // numbers print in hexadecimal, without 0x
	EpochJSON // a time that JSON alerts give as a number: ns since the epoch
	Within    // a distance: = means at most, and is the only operator
	Hidden    // not listed
	Metadata  // of the container's runtime: it may come later than the event
	NeverSet  // no event has a value
)
