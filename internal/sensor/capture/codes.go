package capture

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

//go:embed events.txt
var eventsText string

//go:embed syscalls.txt
var syscallsText string

// code describes one event code of capture files.
type code struct {
	kind event.Kind
	role role
	// slots are the slots of the parameters in the file's order, -1 for those
	// that the kind does not have.
	slots []int8
	// entry says that the exit lacks parameters that the entry into the
	// syscall has: this entry must be kept for it.
	entry bool
	// other: of a syscall that does the same as the kind's.
	other bool
}

// role is the treatment of an event code.
type role uint8

const (
	skipped role = iota // we have no use for it
	entry               // kept until its exit comes
	whole               // becomes an event
)

// codes are all event codes, by number.
var codes = parseCodes(eventsText)

// codeOf is the code of each kind's events, in the newest version.
var codeOf = func() (of [event.NumKinds]uint16) {
	for n := range codes {
		if c := &codes[n]; c.role == whole && !c.other && (of[c.kind] == 0 || len(c.slots) >= len(codes[of[c.kind]].slots)) {
			of[c.kind] = uint16(n)
		}
	}
	return of
}()

// sysIDs are our IDs of the syscalls by the number that generic events carry;
// event.NoSyscall for those that we do not know.
var sysIDs = func() []uint16 {
	var ids []uint16
	for line := range strings.Lines(syscallsText) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		for name := range strings.FieldsSeq(line) {
			id, ok := event.SyscallByName(name)
			if !ok {
				id = event.NoSyscall
			}
			ids = append(ids, uint16(id))
		}
	}
	return ids
}()

// kindSyscall is the syscall of each kind's events.
var kindSyscall = func() (ids [event.NumKinds]uint16) {
	for k := range ids {
		ids[k] = event.NoSyscall
		name := event.Kind(k).String()
		switch name {
		case "pread", "pwrite":
			name += "64"
		case "prlimit":
			name = "prlimit64"
		}
		if id, ok := event.SyscallByName(name); ok && event.Kind(k).Info().Origin == event.Syscall {
			ids[k] = uint16(id)
		}
	}
	return ids
}()

// parseCodes reads events.txt; it panics on a table that is wrong.
func parseCodes(text string) []code {
	var codes []code
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, params, _ := strings.Cut(line, " ")
		if name == "-" {
			codes = append(codes, code{}, code{})
			continue
		}
		name, other := strings.CutPrefix(name, "~")
		k, ok := event.KindByName(name)
		if !ok {
			panic("capture: events.txt names the unknown kind " + name)
		}
		in, out, ok := strings.Cut(params, "|")
		if !ok {
			panic("capture: events.txt: no | in " + line)
		}
		pair := parsePair(k, strings.Fields(in), strings.Fields(out))
		pair[0].other, pair[1].other = other, other
		codes = append(codes, pair...)
	}
	return codes
}

func parsePair(k event.Kind, in, out []string) []code {
	if len(in) > 0 && in[0][0] == '!' {
		if in[0] = in[0][1:]; in[0] == "" {
			in = nil
		}
		return []code{{kind: k, role: whole, slots: slotsOf(k, in)}, {}}
	}
	e := code{kind: k, role: entry, slots: slotsOf(k, in)}
	x := code{kind: k, role: whole, slots: slotsOf(k, out)}
	for _, s := range e.slots {
		// Older files have fewer parameters at the exit than there are now:
		// whatever the entry has may be needed.
		x.entry = x.entry || s >= 0
	}
	return []code{e, x}
}

func slotsOf(k event.Kind, names []string) []int8 {
	var slots []int8
	for _, name := range names {
		switch i := k.Info().Slot(name); {
		case name == "*":
			for i := range k.Info().Params {
				slots = append(slots, int8(i))
			}
		case name == "_":
			slots = append(slots, -1)
		case i >= 0 && i < len(k.Info().Params):
			slots = append(slots, int8(i))
		default:
			panic(fmt.Sprintf("capture: events.txt: %s has no parameter %s", k, name))
		}
	}
	return slots
}
