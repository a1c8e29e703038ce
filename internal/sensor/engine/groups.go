package engine

import (
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// maxGroups bounds the sets of groups that are remembered; the kernel has room
// for more.
const maxGroups = 1024

// groups tells the kernel which sets of control groups belong to no container.
type groups struct {
	tell  func(set []byte, host bool)
	known map[string]bool // those told to be outside
}

// TellGroups makes the engine call tell for sets of control groups, in the form
// of the events' cgroup_set, when it has heard whether their processes are in no
// container.
func (e *Engine) TellGroups(tell func(set []byte, host bool)) {
	e.groups = groups{tell: tell, known: map[string]bool{}}
}

// groupSlots are where kinds have the paths of groups and their ids; 0 for those
// without.
var groupSlots = func() (s [event.NumKinds]struct{ paths, set int }) {
	for _, k := range []event.Kind{event.KindExecve, event.KindProcmove, event.KindTask} {
		s[k].paths, s[k].set = k.Info().Slot("cgroups"), k.Info().Slot("cgroup_set")
	}
	return s
}()

// learnGroups takes the paths and the ids of groups from an event that has
// both. The kernel read them of the same process at once, so the paths' verdict
// holds for every process with these ids.
func (e *Engine) learnGroups() {
	slots := &groupSlots[e.view.Kind()]
	if e.groups.tell == nil || slots.set == 0 {
		return
	}
	set, ok := e.view.Str(slots.set)
	paths, told := e.view.Str(slots.paths)
	if !ok || !told {
		return
	}
	g, host := &e.groups, e.table.Containers().Outside(paths)
	if g.known[set] == host {
		return
	}
	if len(g.known) >= maxGroups {
		for old := range g.known { // the engine would not take them back later
			g.tell([]byte(old), false)
		}
		clear(g.known)
	}
	if host {
		g.known[strings.Clone(set)] = true
	} else {
		delete(g.known, set)
	}
	g.tell([]byte(set), host)
}
