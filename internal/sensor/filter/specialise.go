package filter

import (
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// Specialise returns the condition that remains for events of kind k, or, when
// k is KindSyscall, of syscall id: checks that the kind settles are replaced by
// their value.
func Specialise(n Node, k event.Kind, id event.ID) Node {
	facts := factsOf(k, id)
	return rewrite(n, func(c *Check, _ bool) Node {
		if value, known := c.constant(); known {
			return &Const{At: c.At, Value: value}
		}
		if value, known := facts.decide(c); known {
			return &Const{At: c.At, Value: value}
		}
		return c
	})
}

// Project returns the projection of the condition onto the facts of stage: a
// check whose operands are all known then, and not earlier, keeps its value,
// any other is possible under and, or and not alike. The result is true
// wherever the condition can be; it is the constant true when the facts of
// the stage can never rule the condition out.
//
// The tree must be resolved.
func Project(n Node, stage field.Stage) Node {
	return ProjectFields(n, func(f *Field) bool { return f.Stage == stage })
}

// ProjectFields is Project onto the fields that known has.
func ProjectFields(n Node, known func(*Field) bool) Node {
	return ProjectChecks(n, func(c *Check, _ bool) Node {
		all := true
		c.fields(func(f *Field) { all = all && known(f) })
		if all {
			return c
		}
		return nil
	})
}

// ProjectChecks is Project onto what bound has for a check: the condition that
// takes its place, or nil where it is possible. Under an odd number of nots
// (negated) that must be true only where the check is, elsewhere wherever it is.
func ProjectChecks(n Node, bound func(c *Check, negated bool) Node) Node {
	return rewrite(n, func(c *Check, negated bool) Node {
		if value, known := c.constant(); known {
			return &Const{At: c.At, Value: value}
		}
		if b := bound(c, negated); b != nil {
			return b
		}
		return &Const{At: c.At, Value: !negated}
	})
}

// WithoutMetadata returns the projection of the condition onto the facts known
// before a container's metadata arrives, like Project, and whether it differs
// from the condition.
//
// The tree must be resolved.
func WithoutMetadata(n Node) (Node, bool) {
	less := false
	projection := rewrite(n, func(c *Check, negated bool) Node {
		late := false
		c.fields(func(f *Field) { late = late || f.Metadata })
		if !late {
			return c
		}
		less = true
		return &Const{At: c.At, Value: !negated}
	})
	return projection, less
}

// fields calls f for every field in the check.
func (c *Check) fields(f func(*Field)) {
	walkOperand(c.Left, f)
	if c.Right != nil {
		walkOperand(c.Right, f)
	}
}

func walkOperand(o Operand, f func(*Field)) {
	switch o := o.(type) {
	case *Field:
		f(o)
	case *Transform:
		for _, a := range o.Args {
			walkOperand(a, f)
		}
	case *Tuple:
		for _, a := range o.Items {
			walkOperand(a, f)
		}
	}
}

// Walk calls f for every node of the tree, parents first.
func Walk(n Node, f func(Node)) {
	f(n)
	switch n := n.(type) {
	case *And:
		for _, m := range n.Nodes {
			Walk(m, f)
		}
	case *Or:
		for _, m := range n.Nodes {
			Walk(m, f)
		}
	case *Not:
		Walk(n.Node, f)
	}
}

// Fields calls f for every field that the tree names.
func Fields(n Node, f func(*Field)) {
	Walk(n, func(n Node) {
		if c, ok := n.(*Check); ok {
			c.fields(f)
		}
	})
}

// facts are the values of fields that the kind of an event fixes.
type facts struct {
	kind    event.Kind
	name    string // evt.type
	syscall bool   // whether syscall.type has a value
}

func factsOf(k event.Kind, id event.ID) facts {
	if k == event.KindSyscall {
		return facts{kind: k, name: id.String(), syscall: true}
	}
	return facts{kind: k, name: k.String(), syscall: k.Info().Origin == event.Syscall}
}

// decide returns the value of a check on one of the facts.
func (f facts) decide(c *Check) (value, known bool) {
	left, ok := c.Left.(*Field)
	if !ok || c.Right != nil {
		return false, false
	}
	if left.NeverSet {
		return false, true
	}
	if param, ok := left.Param(); ok {
		return false, !field.HasParam(f.kind, param)
	}
	if name, ok := strings.CutPrefix(left.Name, "evt.type.is."); ok && !left.HasArg {
		return f.decideIs(c, name)
	}
	text, present, known := f.text(left)
	if !known {
		return false, false
	}
	if !present || c.Op == Exists {
		return present, true
	}
	match, err := stringMatcher(c)
	if err != nil {
		return false, false // Compile reports it
	}
	return match(text), true
}

// decideIs is decide for evt.type.is.NAME, which is 1 or 0.
func (f facts) decideIs(c *Check, name string) (value, known bool) {
	if c.Op == Exists {
		return true, true
	}
	match, err := numbers(c, parseUint)
	if err != nil || !knownEvent(name) {
		return false, false
	}
	if f.name == name {
		return match(1), true
	}
	return match(0), true
}

// text returns the value of a field of type String that the facts fix.
func (f facts) text(left *Field) (value string, present, known bool) {
	if left.HasArg {
		return "", false, false
	}
	switch left.Name {
	case "evt.type":
		return f.name, true, true
	case "syscall.type":
		return f.name, f.syscall, true
	case "evt.dir":
		return "<", true, true
	case "evt.source":
		return "syscall", true, true
	}
	return "", false, false
}

// aliases are the names that a rule means without saying so, by the names that
// it says: syscalls with the same effect, which would be a way around it.
var aliases = []struct{ said, meant []string }{
	{[]string{"open", "openat", "openat2"}, []string{"creat", "open_by_handle_at"}},
	{[]string{"fchmodat"}, []string{"fchmodat2"}},
	{[]string{"execve"}, []string{"execveat"}},
	{[]string{"setxattr"}, []string{"setxattrat"}},
}

// Widen returns the condition with the aliases of syscalls that it names: a
// rule on open, openat or openat2 is meant for creat and open_by_handle_at
// too, one on fchmodat for fchmodat2, one on execve for execveat, one on
// setxattr for setxattrat.
//
// Only checks with = or in are widened, and only where that makes the
// condition true for more events, so never under an odd number of nots: every
// event that Falco's reading matches is matched here too.
func Widen(n Node) Node {
	return rewrite(n, func(c *Check, negated bool) Node {
		if negated || c.Op == NotEq || !c.onEventType() {
			return c
		}
		values := c.Values
		for _, alias := range aliases {
			if !slices.ContainsFunc(c.Values, func(v Value) bool { return slices.Contains(alias.said, v.Text) }) {
				continue
			}
			for _, name := range alias.meant {
				if !slices.ContainsFunc(values, func(v Value) bool { return v.Text == name }) {
					values = append(slices.Clip(values), Value{At: c.Values[0].At, Text: name})
				}
			}
		}
		if len(values) == len(c.Values) {
			return c
		}
		return &Check{At: c.At, Left: c.Left, Op: In, Values: values, List: true}
	})
}
