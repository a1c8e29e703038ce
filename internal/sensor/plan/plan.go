// Package plan decides, from the rules alone, which events to observe and how
// early each rule can be ruled out: which syscalls the probe sends, which rules
// can match which kind of event, and which can match which process.
//
// Every stage speaks one language, a Mask over the enabled rules: those that
// could still match, given what the stage knows. A mask is made from the
// projection of each condition onto the stage's facts, where an atom about
// anything else counts as possible; it may let too much pass, never too
// little. An event's candidates are the AND of its masks.
//
// The package is pure: no kernel, no clock, no files.
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

// Mask is a set of rules by index.
type Mask []uint64

// Has says whether rule i is in the mask.
func (m Mask) Has(i int) bool { return m[i/64]&(1<<(i%64)) != 0 }

// Set puts rule i into the mask.
func (m Mask) Set(i int) { m[i/64] |= 1 << (i % 64) }

// Empty says whether no rule is in the mask.
func (m Mask) Empty() bool {
	for _, w := range m {
		if w != 0 {
			return false
		}
	}
	return true
}

// Program has the conditions for one kind of event (or, for syscalls without a
// kind of their own, one syscall).
type Program struct {
	Mask Mask
	// Conditions has the condition of rule i, specialised for the kind, for
	// every i in Mask; nil elsewhere.
	Conditions []filter.Predicate
}

// Plan is everything that follows from a set of rules.
type Plan struct {
	// Number differs from that of every other plan, and from 0.
	Number uint32
	// Rules are the enabled rules in the order in which they are tried: those
	// restricted to kinds of events first, as in Falco.
	Rules []*rules.Rule
	// Process has, per rule, the projection of its condition onto facts about
	// the process; nil where such facts can never rule it out.
	Process []filter.Predicate
	// Early has, per rule, the projection of its condition onto the facts known
	// without container metadata, and ProcessEarly that of its entry in Process;
	// nil where metadata makes no difference.
	Early, ProcessEarly []filter.Predicate
	// Own has, per rule, the projection of its condition onto facts that are the
	// process's own; nil where these can never rule it out. The probe keeps the
	// result for busy processes, see ProcessMask.
	Own []filter.Predicate
	// Opens rules opens out by path and flags; nil if it cannot, and then
	// OpensError says why.
	Opens      *Opens
	OpensError error
	// Sockets rules out calls on sockets by facts about the socket; nil for
	// none.
	Sockets *Sockets
	// Addresses rules out calls on sockets by addresses and ports; nil if no rule
	// asks for any, or if AddressesError says why it cannot.
	Addresses      *Addresses
	AddressesError error
	// Kinds rules out calls of any kind by what is known of each; nil for none.
	Kinds *Kinds
	// Execs rules out execs by what is known of each; nil for none.
	Execs *Execs
	// Interest lists the syscalls that the probe must send, for rules and
	// process table.
	Interest []event.ID
	// ThreadExits says whether exits of single threads are wanted: only rules
	// on procexit look at them.
	ThreadExits bool
	// Hosts are the names of hosts in the conditions. They are not looked up
	// yet.
	Hosts *filter.Hosts
	// ClosedFiles says whether a descriptor must be read before it is closed:
	// afterwards its file is unknown.
	ClosedFiles bool
	// OpenFDs are the kinds of events for which a rule asks for the open
	// descriptors of the process.
	OpenFDs event.KindSet
	// MemoWords and ProcMemoWords size Context.Memo and Process.Memo.
	MemoWords, ProcMemoWords int

	kinds   [event.NumKinds]*Program
	generic []*Program // by event.ID
	words   int
}

// Options limit the observed events.
type Options struct {
	// All sends high-volume I/O syscalls too (-A, base_syscalls.all).
	All bool
	// Custom is base_syscalls.custom_set: names to add, "!name" to remove.
	Custom []string
	// Unmasked leaves every rule a candidate for every event: for tests that
	// prove that masks change nothing, and for explanations.
	Unmasked bool
	// Lookup finds fields; field.Lookup outside tests.
	Lookup filter.Lookup
}

// Words is the length of a Mask.
func (p *Plan) Words() int { return p.words }

// Program returns the conditions for events of kind k, or of syscall id when k
// is KindSyscall; nil if no rule can match them.
func (p *Plan) Program(k event.Kind, id event.ID) *Program {
	if k == event.KindSyscall {
		if int(id) < len(p.generic) {
			return p.generic[id]
		}
		return nil
	}
	return p.kinds[k]
}

// Programs is the number of programs: kinds and single syscalls that some
// rule can match.
func (p *Plan) Programs() int {
	n := 0
	for _, list := range [][]*Program{p.kinds[:], p.generic} {
		for _, prog := range list {
			if prog != nil {
				n++
			}
		}
	}
	return n
}

// New makes the plan for the enabled rules in list, which must be sound
// (rules.Load has checked them). Those of other sources than syscalls are left
// out.
func New(list []*rules.Rule, opts Options) (*Plan, error) {
	list = rules.OfSource(field.SyscallSource, list)
	p := &Plan{Number: newNumber(), Rules: order(list), generic: make([]*Program, event.NumSyscalls())}
	p.words = max(1, (len(p.Rules)+63)/64)
	compiler := filter.NewCompiler(opts.Lookup)
	early := compiler.Forgetful()
	interest := newInterest(opts)
	if !opts.Unmasked {
		p.Kinds = newKinds(opts.Custom)
	}
	for i, rule := range p.Rules {
		if err := p.add(compiler, i, rule, interest, opts); err != nil {
			return nil, fmt.Errorf("rule %q: %w", rule.Name, err)
		}
		if err := p.addEarly(early, rule.Node); err != nil {
			return nil, fmt.Errorf("rule %q: %w", rule.Name, err)
		}
		if err := p.addOwn(early, rule.Node); err != nil {
			return nil, fmt.Errorf("rule %q: %w", rule.Name, err)
		}
	}
	if !opts.Unmasked {
		if opens, err := NewOpens(p.Rules); err != nil {
			p.OpensError = err // every open is looked at
		} else {
			p.Opens = opens
		}
		p.Sockets = NewSockets(p.Rules)
		p.Addresses, p.AddressesError = NewAddresses(p.Rules) // else every address counts as possible
		p.sendCustom()
		p.Kinds.finish()
		var err error
		if p.Execs, err = NewExecs(p, opts); err != nil {
			return nil, err
		}
	}
	p.Interest = interest.list()
	p.Hosts = compiler.Hosts()
	p.ThreadExits = p.kinds[event.KindProcexit] != nil
	p.ClosedFiles = interest.named[event.KindClose] || slices.ContainsFunc(p.Rules, looksAtClosed)
	for _, r := range p.Rules {
		if anyField(r.Node, func(f *filter.Field) bool { return slices.Contains(field.OfOpenFDs, f.Name) }) {
			p.LookAtOpenFDs(r)
		}
	}
	p.MemoWords, p.ProcMemoWords = compiler.MemoWords(), compiler.ProcMemoWords()
	return p, nil
}

// sendCustom makes the stages behind that of all kinds leave out no call that
// users ask for.
func (p *Plan) sendCustom() {
	for kind := range event.Kind(event.NumKinds) {
		if !p.Kinds.custom[kind] {
			continue
		}
		if p.Opens != nil {
			p.Opens.sendAll(kind)
		}
		p.Sockets.sendAll(kind)
	}
}

// looksAtClosed says whether a rule that names no kinds of events has to do with
// descriptors, those of closes too.
func looksAtClosed(r *rules.Rule) bool {
	_, _, restricted := filter.Kinds(r.Node)
	return !restricted && anyField(r.Node, func(f *filter.Field) bool { return strings.HasPrefix(f.Name, "fd.") })
}

// anyField says whether a condition has such a field.
func anyField(n filter.Node, is func(*filter.Field) bool) (found bool) {
	filter.Fields(n, func(f *filter.Field) { found = found || is(f) })
	return found
}

// LookAtOpenFDs asks for the open descriptors at the events of a rule.
func (p *Plan) LookAtOpenFDs(r *rules.Rule) {
	kinds, _, _ := filter.Kinds(r.Node)
	p.OpenFDs.AddAll(kinds)
}

// order puts rules that name kinds of events before those that match any.
func order(list []*rules.Rule) []*rules.Rule {
	var restricted, open []*rules.Rule
	for _, r := range list {
		if _, _, ok := filter.Kinds(r.Node); ok {
			restricted = append(restricted, r)
		} else {
			open = append(open, r)
		}
	}
	return append(restricted, open...)
}

func (p *Plan) add(c *filter.Compiler, i int, rule *rules.Rule, in *interest, opts Options) error {
	kinds, ids, restricted := filter.Kinds(rule.Node)
	for k := range event.Kind(event.NumKinds) {
		if restricted && !kinds.Has(k) || k == event.KindSyscall {
			continue
		}
		if !in.wanted(k, restricted) {
			continue
		}
		if err := p.compile(c, &p.kinds[k], i, k, filter.Specialise(rule.Node, k, 0)); err != nil {
			return err
		}
	}
	for id := range event.ID(event.NumSyscalls()) {
		if id.Kind() != event.KindSyscall || restricted && !ids.Has(id) {
			continue
		}
		in.add(id)
		if err := p.compile(c, &p.generic[id], i, event.KindSyscall, filter.Specialise(rule.Node, event.KindSyscall, id)); err != nil {
			return err
		}
	}
	return p.project(c, rule.Node, opts)
}

// compile adds rule i with condition node, for events of kind, to the program at
// *slot, unless the kind alone makes the condition false.
func (p *Plan) compile(c *filter.Compiler, slot **Program, i int, kind event.Kind, node filter.Node) error {
	if filter.IsFalse(node) {
		return nil
	}
	if p.Kinds != nil {
		p.Kinds.add(kind, BitOf(i, len(p.Rules)), node)
	}
	cond, err := c.Compile(node)
	if err != nil {
		return err
	}
	if *slot == nil {
		*slot = &Program{Mask: make(Mask, p.words), Conditions: make([]filter.Predicate, len(p.Rules))}
	}
	(*slot).Mask.Set(i)
	(*slot).Conditions[i] = cond
	return nil
}

func (p *Plan) project(c *filter.Compiler, node filter.Node, opts Options) error {
	projection := filter.Project(node, field.AtExec)
	if opts.Unmasked || filter.IsTrue(projection) {
		p.Process = append(p.Process, nil)
		return nil
	}
	cond, err := c.Compile(projection)
	p.Process = append(p.Process, cond)
	return err
}

// addEarly adds the projections of a condition to Early and ProcessEarly.
func (p *Plan) addEarly(c *filter.Compiler, node filter.Node) error {
	var early, process filter.Predicate
	projection, less := filter.WithoutMetadata(node)
	if less {
		var err error
		if early, err = c.Compile(projection); err != nil {
			return err
		}
		if process, err = c.Compile(filter.Project(projection, field.AtExec)); err != nil {
			return err
		}
	}
	p.Early, p.ProcessEarly = append(p.Early, early), append(p.ProcessEarly, process)
	return nil
}
