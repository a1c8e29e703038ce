package filter

import (
	"slices"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// IDSet is a set of syscalls without a kind of their own.
type IDSet []uint64

// Has says whether id is in the set.
func (s IDSet) Has(id event.ID) bool {
	return int(id)/64 < len(s) && s[id/64]&(1<<(id%64)) != 0
}

// Kinds returns the kinds of events that the condition can be true for and,
// where KindSyscall is among them, for which syscalls. restricted is false when
// the condition does not restrict the kinds at all.
//
// As in Falco, "and" intersects, "or" unites, "not" is pushed to the leaves;
// a leaf on evt.type or syscall.type with = != or in is exact, one on evt.num
// is decided by evt.num >= 1, and any other is taken as possible.
func Kinds(n Node) (kinds event.KindSet, syscalls IDSet, restricted bool) {
	s := infer(n, false)
	return s.kinds, s.ids, !slices.Equal(s.ids, universe.ids) || s.kinds != universe.kinds
}

// Names returns the names of the events the condition can be true for, sorted.
func Names(n Node) []string {
	kinds, ids, _ := Kinds(n)
	var names []string
	for k := range event.Kind(event.NumKinds) {
		if k != event.KindSyscall && kinds.Has(k) {
			names = append(names, k.String())
		}
	}
	for id := range event.ID(event.NumSyscalls()) {
		if ids.Has(id) {
			names = append(names, id.String())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// codes is a set of kinds; ids says more about KindSyscall.
type codes struct {
	kinds event.KindSet
	ids   IDSet
}

func noCodes() codes { return codes{ids: make(IDSet, len(universe.ids))} }

func allCodes() codes { return codes{kinds: universe.kinds, ids: slices.Clone(universe.ids)} }

var universe = func() codes {
	s := codes{ids: make(IDSet, (event.NumSyscalls()+63)/64)}
	for k := range event.Kind(event.NumKinds) {
		s.kinds.Add(k)
	}
	for id := range event.ID(event.NumSyscalls()) {
		if id.Kind() == event.KindSyscall {
			s.ids[id/64] |= 1 << (id % 64)
		}
	}
	return s
}()

// add puts the events that read name in evt.type into s.
func (s *codes) add(name string) {
	if k, ok := event.KindByName(name); ok && k != event.KindSyscall {
		s.kinds.Add(k)
		return
	}
	if id, ok := event.SyscallByName(name); ok && id.Kind() == event.KindSyscall {
		s.ids[id/64] |= 1 << (id % 64)
		s.kinds.Add(event.KindSyscall)
	}
}

// combine replaces s by f of each word of s and t.
func (s *codes) combine(t codes, f func(a, b uint64) uint64) {
	for i := range s.kinds {
		s.kinds[i] = f(s.kinds[i], t.kinds[i])
	}
	left := false
	for i := range s.ids {
		s.ids[i] = f(s.ids[i], t.ids[i])
		left = left || s.ids[i] != 0
	}
	s.kinds[event.KindSyscall/64] &^= 1 << (event.KindSyscall % 64)
	if left {
		s.kinds.Add(event.KindSyscall)
	}
}

func without(a, b uint64) uint64 { return a &^ b }

func infer(n Node, negated bool) codes {
	switch n := n.(type) {
	case *And:
		return inferList(n.Nodes, negated, !negated)
	case *Or:
		return inferList(n.Nodes, negated, negated)
	case *Not:
		return infer(n.Node, !negated)
	case *Const:
		if n.Value == negated {
			return noCodes()
		}
	case *Check:
		return n.codes(negated)
	}
	return allCodes()
}

func inferList(nodes []Node, negated, conjunction bool) codes {
	s, f := noCodes(), func(a, b uint64) uint64 { return a | b }
	if conjunction {
		s, f = allCodes(), func(a, b uint64) uint64 { return a & b }
	}
	for _, n := range nodes {
		s.combine(infer(n, negated), f)
	}
	return s
}

func (c *Check) codes(negated bool) codes {
	if value, known := c.constant(); known {
		if value == negated {
			return noCodes()
		}
		return allCodes()
	}
	if !c.onEventType() {
		return allCodes()
	}
	s := noCodes()
	for _, v := range c.Values {
		s.add(v.Text)
	}
	if (c.Op == NotEq) != negated {
		all := allCodes()
		all.combine(s, without)
		s = all
	}
	if c.Left.(*Field).Name == "syscall.type" {
		s.syscallsOnly(negated)
	}
	return s
}

// syscallsOnly takes the events that are no syscalls out, for which
// syscall.type is missing and every check of it false; or, for a negated
// check, puts them in.
func (s *codes) syscallsOnly(negated bool) {
	for k := range event.Kind(event.NumKinds) {
		if k.Info().Origin == event.Syscall {
			continue
		}
		s.kinds[k/64] &^= 1 << (k % 64)
		if negated {
			s.kinds.Add(k)
		}
	}
}

// onEventType says whether c compares the kind of event with constants in a
// way that Kinds understands.
func (c *Check) onEventType() bool {
	f, ok := c.Left.(*Field)
	if !ok || c.Right != nil || c.Modifier != NoModifier || !f.isEventType() {
		return false
	}
	switch c.Op {
	case Eq, EqEq, NotEq, In:
		return true
	}
	return false
}

func (f *Field) isEventType() bool {
	return (f.Name == "evt.type" || f.Name == "syscall.type") && !f.HasArg
}

// constant returns the value of a check on evt.num that no event can change:
// events are counted from 1, and rules use evt.num=0 for "never" and
// evt.num>0 for "always".
func (c *Check) constant() (value, known bool) {
	f, ok := c.Left.(*Field)
	if !ok || f.Name != "evt.num" || f.HasArg || c.Right != nil || c.Modifier != NoModifier {
		return false, false
	}
	switch c.Op {
	case Exists:
		return true, true
	case Eq, EqEq, In, Intersects:
		for _, v := range c.Values {
			if v.Text != "0" {
				return false, false
			}
		}
		return false, true
	}
	if len(c.Values) != 1 {
		return false, false
	}
	switch v := c.Values[0].Text; {
	case v == "0" && (c.Op == NotEq || c.Op == Greater || c.Op == GreaterEq):
		return true, true
	case v == "1" && c.Op == GreaterEq:
		return true, true
	case v == "0" && (c.Op == Less || c.Op == LessEq), v == "1" && c.Op == Less:
		return false, true
	}
	return false, false
}
