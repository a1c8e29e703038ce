package plan

import (
	"maps"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// Stages says what the probe checks before it sends an event of a kind for a
// rule.
type Stages struct {
	Kind event.Kind `json:"-"`
	// Event is the name of the kind.
	Event string `json:"event"`
	// Always says why no stage can leave such an event out; "" if one can.
	Always string `json:"always,omitempty"`
	// Table: the process table needs those that succeed.
	Table bool `json:"process_table,omitempty"`
	// Result is "success" or "failure", "" for both, or "never".
	Result string `json:"result,omitempty"`
	// Container: of processes in containers only.
	Container bool `json:"container,omitempty"`
	// Argument is what an argument must have, such as "CLONE_NEWUSER".
	Argument string `json:"argument,omitempty"`
	// Names are the names of the programs; empty for all programs.
	Names []string `json:"names,omitempty"`
	// Sockets is how many of SocketsOf combinations of facts about the socket are
	// sent; 0 of 0 if the probe does not look at it.
	Sockets   int `json:"sockets,omitempty"`
	SocketsOf int `json:"sockets_of,omitempty"`
	// Addresses: addresses and ports are looked at.
	Addresses bool `json:"addresses,omitempty"`
	// Paths: paths, or names of unix sockets, are looked at; of opens as OpenNeeds
	// says.
	Paths bool `json:"paths,omitempty"`
}

// Why an event is always sent.
const (
	forTable    = "for the process table"
	notASyscall = "it is not of a system call"
	closes      = "the probe learns from it"
)

// Alone is what the probe would send for a rule if there were no other.
type Alone struct {
	plan *Plan
	// Stages are by kind of event.
	Stages []Stages
}

// NewAlone plans for a rule on syscalls.
func NewAlone(r *rules.Rule) (*Alone, error) {
	p, err := New([]*rules.Rule{r}, Options{Lookup: field.Lookup, All: true})
	if err != nil {
		return nil, err
	}
	a := &Alone{plan: p}
	for kind := range event.Kind(event.NumKinds) {
		if a.asks(kind) {
			a.Stages = append(a.Stages, a.stages(kind))
		}
	}
	return a, nil
}

// asks says whether the rule can match events of the kind.
func (a *Alone) asks(kind event.Kind) bool {
	if kind == event.KindSyscall {
		return slices.ContainsFunc(a.plan.generic, func(p *Program) bool { return p != nil })
	}
	return a.plan.kinds[kind] != nil
}

func (a *Alone) stages(kind event.Kind) Stages {
	s := Stages{Kind: kind, Event: kind.String(), Table: state.Needs(kind)}
	switch {
	case kind.Info().Origin != event.Syscall:
		s.Always = notASyscall
		if s.Table {
			s.Always = forTable
		}
		return s
	case kind == event.KindClose:
		s.Always = closes
		return s
	}
	var sent, always Bits // by facts
	for f := range event.NumCallFacts {
		if !sparable(kind, f) {
			continue
		}
		if a.plan.Kinds.Always[kind][f] != (Bits{}) {
			always.Set(int(f))
			sent.Set(int(f))
		} else if a.plan.Kinds.Named[kind][f] != (Bits{}) {
			sent.Set(int(f))
		}
	}
	has := func(bit event.CallFacts, with bool) bool {
		for f := range event.NumCallFacts {
			if sent.Has(int(f)) && (f&bit != 0) == with {
				return true
			}
		}
		return false
	}
	if sent.Empty() {
		s.Result = "success" // of a kind that the process table needs
		if !s.Table {
			s.Result = "never"
		}
		return s
	}
	ok, failed := has(event.CallSuccess, true), has(event.CallSuccess, false)
	if slices.Contains(filteredKinds, kind) && a.plan.Opens != nil {
		ok, failed = ok && a.plan.Opens.asked(true), failed && a.plan.Opens.asked(false)
	}
	switch {
	case !ok && !failed:
		s.Result = "never"
		return s
	case !failed:
		s.Result = "success"
	case !ok && !s.Table:
		s.Result = "failure"
	}
	s.Container = !has(event.CallHost, true)
	if t, ok := specials[kind]; ok && !has(event.CallSpecial, false) {
		s.Argument = t.text
	}
	if always.Empty() {
		s.Names = slices.Sorted(maps.Keys(a.plan.Kinds.Names))
	}
	if sets := a.plan.Sockets.Rules[kind]; sets != nil {
		s.SocketsOf = len(sets)
		for _, set := range sets {
			if set != (Bits{}) {
				s.Sockets++
			}
		}
	}
	s.Addresses = a.plan.Addresses != nil && a.plan.Addresses.Kinds.Has(kind)
	s.Paths = a.looksAtPaths(kind)
	return s
}

// looksAtPaths says whether paths can leave out a call of the kind.
func (a *Alone) looksAtPaths(kind event.Kind) bool {
	switch {
	case a.plan.Opens == nil:
		return false
	case slices.Contains(filteredKinds, kind):
		return a.plan.Opens.Always != ^uint64(0)
	case isSocketKind[kind]:
		return slices.ContainsFunc(a.plan.Opens.Calls[kind][:], func(needs uint64) bool { return needs != 0 && needs&alwaysSent == 0 })
	case pathParams(kind) == nil:
		return false
	}
	of := uint64(3) << (2 * slices.Index(pathKinds, kind))
	list := slices.Collect(maps.Values(pathCallNeeds(a.plan.Rules)))
	return slices.ContainsFunc(list, func(g *group) bool {
		return g.facts&of != 0 && slices.ContainsFunc(g.need.clauses, func(c clause) bool { return len(c.patterns) > 0 })
	})
}

// Sends says whether the probe sends an event of process p for the rule. The
// probe may filter some of these: it knows a little more about a call.
func (a *Alone) Sends(v *event.View, p *state.Process) bool {
	kind := v.Kind()
	if a.plan.Program(kind, event.ID(v.Header().Syscall)) == nil {
		return false
	}
	facts := callFactsOf(v, p)
	if sparable(kind, facts) && a.plan.Kinds.rules(kind, facts, p.Comm).Empty() {
		return false
	}
	if sets := a.plan.Sockets.Rules[kind]; sets != nil {
		if f, ok := socketFactsOf(v); ok && !a.plan.Sockets.needed(kind, f, p.Comm) {
			return false
		}
	}
	if !a.addressesNeed(v) {
		return false
	}
	return a.plan.Opens == nil || a.plan.Opens.NeededEvent(v, p.Comm)
}

// addressesNeed says whether the addresses and ports of a call on a socket may
// meet the condition.
func (a *Alone) addressesNeed(v *event.View) bool {
	all := a.plan.Addresses
	if all == nil || !all.Kinds.Has(v.Kind()) {
		return true
	}
	f := &event.FileInfo{}
	if v.Info().File < 0 || !v.FileInfo(v.Info().File, f) {
		f = nil
	}
	return !all.rules(v.Kind(), v.Header().Res, f).And(a.bits()).Empty()
}

// bits are those of the rule.
func (a *Alone) bits() (b Bits) {
	b.Set(BitOf(0, 1))
	return b
}

// ForTable says whether an event is sent whatever the rules are.
func ForTable(v *event.View) bool {
	return state.Needs(v.Kind()) && (v.Kind().Info().Origin != event.Syscall || v.Header().Res >= 0)
}

func callFactsOf(v *event.View, p *state.Process) (f event.CallFacts) {
	if v.Header().Res >= 0 {
		f |= event.CallSuccess
	}
	if p.Container == container.Host {
		f |= event.CallHost
	}
	if t, ok := specials[v.Kind()]; ok && v.Uint(v.Info().Slot(t.param))&t.told.Mask == t.told.Value {
		f |= event.CallSpecial
	}
	return f
}

// socketFactsOf are the facts about the socket of a call; false where the event
// does not have it.
func socketFactsOf(v *event.View) (f event.SocketFacts, ok bool) {
	var file event.FileInfo
	if v.Info().File < 0 || !v.FileInfo(v.Info().File, &file) {
		return 0, false
	}
	if v.Header().Res >= 0 {
		f |= event.SocketSuccess
	}
	if file.Flags&event.FileConnected != 0 {
		f |= event.SocketConnected
	}
	switch {
	case file.Type == event.FDUnix:
		return f | event.SocketUnix, true
	case file.Type != event.FDIPv4 && file.Type != event.FDIPv6:
		return f, true
	case file.L4Proto == 6:
		f |= event.SocketTcp
	case file.L4Proto == 17:
		f |= event.SocketUdp
	}
	local, remote := file.Addrs()
	if loopback.Contains(local) && loopback.Contains(remote) && file.DPort != 0 {
		f |= event.SocketLoopback
	}
	return f, true
}
