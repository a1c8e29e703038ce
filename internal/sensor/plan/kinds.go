package plan

import (
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// Kinds tells the probe which rules can match a call, by its kind and by what is
// known of a call of any kind: whether it failed, whether its process is in a
// container, and whether its arguments are special (Special). Calls that no rule
// can match are not sent.
//
// The sets are Bits of the rules of the plan.
type Kinds struct {
	// Always has the rules that can match whatever the process's name, and
	// Named those of which some name is asked for.
	Always, Named [event.NumKinds][event.NumCallFacts][2]uint64
	// Names has, by proc.name, the rules that ask for it.
	Names map[string][2]uint64
	// Specials says which arguments are special.
	Specials map[event.Kind]Special

	asked, custom [event.NumKinds]bool // by rules; by the user
	atHost        hostChecks
}

// Special describes calls by one argument: where it has the bits of Mask, and
// there this value, the call is special.
type Special struct {
	Arg         int
	Mask, Value uint64
}

// telling is what a condition says of a special call: the parameter contains the
// text, or is it. Of no other call it is true.
type telling struct {
	Special
	param, text string
	told        Special // the same of the event's parameter; without Arg
}

// specials are the arguments by which default rules tell rare calls from
// frequent ones. clone3 has its flags in memory.
var specials = map[event.Kind]telling{
	event.KindClone:  {Special{0, 1 << 28, 1 << 28}, "flags", "CLONE_NEWUSER", Special{0, 1 << 20, 1 << 20}},
	event.KindSocket: {Special{0, 0xffffffff, 17}, "domain", "AF_PACKET", Special{0, 0xffffffff, 17}},
	event.KindBpf:    {Special{0, 0xffffffff, 5}, "cmd", "BPF_PROG_LOAD", Special{0, 0xffffffff, 5}},
}

// newKinds returns sets without a rule. Users get all calls of the kinds of the
// custom syscalls.
func newKinds(custom []string) *Kinds {
	k := &Kinds{Names: map[string][2]uint64{}, Specials: map[event.Kind]Special{}, atHost: hostChecks{}}
	for _, name := range custom {
		if id, ok := event.SyscallByName(name); ok {
			k.custom[id.Kind()] = true
		}
	}
	for kind, s := range specials {
		k.Specials[kind] = s.Special
	}
	return k
}

// finish counts every rule as possible for calls that are not for the rules
// alone.
func (k *Kinds) finish() {
	for kind := range event.Kind(event.NumKinds) {
		forRules := !k.custom[kind] && (k.asked[kind] || state.LearnsFrom(kind))
		for f := range event.NumCallFacts {
			if !forRules || !sparable(kind, f) {
				k.Always[kind][f] = AllBits
			}
		}
	}
}

// sparable says whether rules alone look at calls of a kind with these facts.
// The process table learns from some kinds, but not from calls that failed. A
// close that is not sent leaves the probe with what it has learnt of its
// descriptor.
func sparable(kind event.Kind, f event.CallFacts) bool {
	if kind.Info().Origin != event.Syscall || kind == event.KindClose {
		return false
	}
	return !state.Needs(kind) || f&event.CallSuccess == 0
}

// add puts a rule into the sets of the combinations in which it can match; node
// is what remains of its condition for the kind.
func (k *Kinds) add(kind event.Kind, bit int, node filter.Node) {
	k.asked[kind] = true
	_, hasSpecial := specials[kind]
	for f := range event.NumCallFacts {
		if !hasSpecial && f&event.CallSpecial != 0 || !sparable(kind, f) {
			continue // no call is, or all are sent
		}
		n := needOf(node, anyCall{kind: kind, facts: f, atHost: k.atHost}, false)
		names, some := n.names()
		switch {
		case !some:
			k.Always[kind][f] = withBit(k.Always[kind][f], bit)
		case len(names) > 0:
			k.Named[kind][f] = withBit(k.Named[kind][f], bit)
		}
		for _, name := range names {
			k.Names[name] = withBit(k.Names[name], bit)
		}
	}
}

func withBit(b Bits, bit int) Bits {
	b.Set(bit)
	return b
}

// rules are those that can match a call with these facts, by a process of this
// name.
func (k *Kinds) rules(kind event.Kind, f event.CallFacts, name string) Bits {
	return Bits(k.Always[kind][f]).Or(Bits(k.Named[kind][f]).And(k.Names[name]))
}

// anyCall is a call with these facts.
type anyCall struct {
	pathless
	kind   event.Kind
	facts  event.CallFacts
	atHost hostChecks
}

func (k anyCall) has(bit event.CallFacts) bool { return k.facts&bit != 0 }

func (k anyCall) decide(f *filter.Field, c *filter.Check) (value, known bool) {
	single, success := onlyText(c), k.has(event.CallSuccess)
	switch {
	case f.Name == "evt.failed" && tellsResult(k.kind):
		return boolean(c.Op, single, !success)
	case f.Name == "evt.rawres" && tellsResult(k.kind):
		return sign(c.Op, single, success)
	case f.Name == "evt.res" && tellsResult(k.kind):
		return result(c, success)
	case ofContainer(f.Name) && k.has(event.CallHost):
		return k.atHost.decide(c)
	}
	sp, some := specials[k.kind]
	if param, ok := f.Param(); !ok || !some || param != sp.param || single != sp.text || k.has(event.CallSpecial) {
		return false, false
	}
	return false, slices.Contains([]filter.Op{filter.Contains, filter.Eq, filter.EqEq}, c.Op)
}

func ofContainer(name string) bool {
	class, _, _ := strings.Cut(name, ".")
	return class == "container" || class == "k8s" || class == "k8smeta"
}

// tellsResult says whether the first parameter of events of a kind is what the
// call returned.
func tellsResult(kind event.Kind) bool {
	info := kind.Info()
	if len(info.Params) == 0 || info.Origin != event.Syscall {
		return false
	}
	first := info.Params[0].Name
	return first == "res" || first == "fd" && info.Traits&event.CreatesFD != 0
}

// hostChecks are the values of checks on the container of a process that is in
// none: these fields read nothing else of it.
type hostChecks map[*filter.Check]bool

func (h hostChecks) decide(c *filter.Check) (value, known bool) {
	if value, known = h[c]; known {
		return value, true
	}
	compiled, err := filter.NewCompiler(field.Lookup).Forgetful().Compile(c)
	if err != nil {
		return false, false
	}
	value = compiled(&field.Context{Proc: &state.Process{Container: container.Host}})
	h[c] = value
	return value, true
}
