package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// Never says why a rule can match no event with these options, with a remedy;
// empty if it can.
func Never(r *rules.Rule, opts Options) string {
	if r.Node == nil {
		return fmt.Sprintf("there are no events of source %s here", r.Source)
	}
	if len(rules.OfSource(field.SyscallSource, []*rules.Rule{r})) == 0 {
		return "" // another source has no events that are left out
	}
	in := newInterest(opts)
	var needAll, removed []string
	for _, e := range matchable(r.Node) {
		switch {
		case !opts.All && slices.Contains(highVolume, e.kind):
			needAll = append(needAll, e.kind.String())
		case e.syscalls() && !slices.ContainsFunc(e.ids, func(id event.ID) bool { return !in.removed[id] }):
			removed = append(removed, e.name())
		default:
			return ""
		}
	}
	var why []string
	if len(needAll) > 0 {
		why = append(why, fmt.Sprintf("%s: looked at with -A (base_syscalls.all) only", strings.Join(needAll, ", ")))
	}
	if len(removed) > 0 {
		why = append(why, fmt.Sprintf("%s: removed by base_syscalls.custom_set", strings.Join(removed, ", ")))
	}
	if len(why) == 0 {
		return without(r.Node)
	}
	return strings.Join(why, "; ")
}

// without names the requirements of a condition that no event meets.
func without(n filter.Node) string {
	kinds, _, _ := filter.Kinds(n)
	var why []string
	add := func(text string) {
		if !slices.Contains(why, text) {
			why = append(why, text)
		}
	}
	filter.Fields(n, func(f *filter.Field) {
		if f.NeverSet {
			add(f.Name + " never has a value here")
		}
		if param, ok := f.Param(); ok && !anyHas(kinds, param) {
			add("no event that it is about has the parameter " + param)
		}
	})
	if len(why) == 0 {
		return "its condition is true for no event"
	}
	return strings.Join(why, "; ")
}

func anyHas(kinds event.KindSet, param string) bool {
	for k := range event.Kind(event.NumKinds) {
		if kinds.Has(k) && field.HasParam(k, param) {
			return true
		}
	}
	return false
}

// occasion is a kind of event, or a syscall without a kind of its own, for
// which a condition can be true.
type occasion struct {
	kind event.Kind
	ids  []event.ID
}

func (o occasion) syscalls() bool { return o.kind.Info().Origin == event.Syscall && len(o.ids) > 0 }

func (o occasion) name() string {
	if o.kind == event.KindSyscall {
		return o.ids[0].String()
	}
	return o.kind.String()
}

// matchable are the occasions that the kind of event alone does not rule out.
func matchable(n filter.Node) []occasion {
	kinds, ids, _ := filter.Kinds(n)
	byKind := map[event.Kind][]event.ID{}
	var found []occasion
	for id := range event.ID(event.NumSyscalls()) {
		k := id.Kind()
		byKind[k] = append(byKind[k], id)
		if k == event.KindSyscall && ids.Has(id) && !filter.IsFalse(filter.Specialise(n, k, id)) {
			found = append(found, occasion{k, []event.ID{id}})
		}
	}
	for k := range event.Kind(event.NumKinds) {
		if k != event.KindSyscall && kinds.Has(k) && !filter.IsFalse(filter.Specialise(n, k, 0)) {
			found = append(found, occasion{k, byKind[k]})
		}
	}
	return found
}

// UnknownSyscalls are the unknown names in base_syscalls.custom_set: to
// be added, and, with their "!", to be taken out.
func UnknownSyscalls(custom []string) (added, removed []string) {
	for _, entry := range custom {
		name, remove := strings.CutPrefix(entry, "!")
		if _, ok := event.SyscallByName(name); ok {
			continue
		}
		if remove {
			removed = append(removed, name)
		} else {
			added = append(added, name)
		}
	}
	return added, removed
}
