package plan

import (
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// highVolume are the kinds of I/O that are looked at only with Options.All,
// whatever the rules say: Falco's list (falco -i).
var highVolume = []event.Kind{
	event.KindPread, event.KindPreadv, event.KindPwrite, event.KindPwritev, event.KindRead, event.KindReadv,
	event.KindRecv, event.KindSend, event.KindSendfile, event.KindWrite, event.KindWritev,
}

// HighVolume lists the kinds of I/O that need Options.All.
func HighVolume() []event.Kind { return slices.Clone(highVolume) }

// interest gathers the syscalls that the probe must send.
type interest struct {
	ids     map[event.ID]bool
	removed map[event.ID]bool
	all     bool
	named   map[event.Kind]bool // by a rule's condition
}

func newInterest(opts Options) *interest {
	in := &interest{ids: map[event.ID]bool{}, removed: map[event.ID]bool{}, all: opts.All, named: map[event.Kind]bool{}}
	for id := range event.ID(event.NumSyscalls()) {
		if k := id.Kind(); k.Info().Traits&event.ModifiesState != 0 {
			in.ids[id] = true
		}
	}
	for _, name := range opts.Custom {
		name, remove := strings.CutPrefix(name, "!")
		id, ok := event.SyscallByName(name)
		switch {
		case !ok: // config has said so
		case remove:
			in.removed[id] = true
		case !in.all && slices.Contains(highVolume, id.Kind()): // as in Falco
		default:
			in.ids[id] = true
		}
	}
	return in
}

// wanted says whether events of kind k reach the rules, and, if a rule names
// the kind, asks the probe for them.
func (in *interest) wanted(k event.Kind, named bool) bool {
	info := k.Info()
	if named {
		in.named[k] = true
	}
	if !in.all && slices.Contains(highVolume, k) {
		return false
	}
	if info.Origin != event.Syscall {
		return info.Origin == event.Tracepoint || named
	}
	for id := range event.ID(event.NumSyscalls()) {
		if id.Kind() == k {
			in.add(id)
		}
	}
	return true
}

func (in *interest) add(id event.ID) { in.ids[id] = true }

func (in *interest) list() []event.ID {
	var ids []event.ID
	for id := range in.ids {
		if !in.removed[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
