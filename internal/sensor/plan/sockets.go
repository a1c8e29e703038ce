package plan

import (
	"maps"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// Sockets tells the probe which calls on sockets no rule can match, so that it
// need not send them: most events of a server are messages on connections that
// are there already, and rules look at new ones, at datagrams, or at some
// programs.
//
// As in Opens, every combination of facts has a bit in the masks.
type Sockets struct {
	// Always has, by kind, the combinations in which every call is needed.
	Always map[event.Kind]uint64
	// Named has, by kind, those in which the calls of some programs are.
	Named map[event.Kind]uint64
	// Names has, by proc.name, the combinations in which such a program's calls
	// of one kind or another are needed.
	Names map[string]uint64
	// Rules has, by kind and combination, the rules that can match, as Bits: the
	// probe joins them with those of Kinds.
	Rules map[event.Kind]*[event.NumSocketFacts][2]uint64
}

// socketKinds are the kinds that Sockets speaks of: those whose descriptor the
// probe looks at first. Sockets are made too seldom to be looked at twice.
var socketKinds = []event.Kind{
	event.KindConnect, event.KindBind, event.KindListen, event.KindShutdown, event.KindAccept, event.KindAccept4,
	event.KindSetsockopt, event.KindGetsockopt,
	event.KindSend, event.KindSendto, event.KindSendmsg, event.KindSendmmsg,
	event.KindRecv, event.KindRecvfrom, event.KindRecvmsg, event.KindRecvmmsg,
}

// isSocketKind says of which kinds socketKinds is.
var isSocketKind = func() (is [event.NumKinds]bool) {
	for _, kind := range socketKinds {
		is[kind] = true
	}
	return is
}()

// NewSockets derives the filter from the rules.
func NewSockets(list []*rules.Rule) *Sockets {
	s := &Sockets{
		Always: map[event.Kind]uint64{}, Named: map[event.Kind]uint64{}, Names: map[string]uint64{},
		Rules: map[event.Kind]*[event.NumSocketFacts][2]uint64{},
	}
	for _, kind := range socketKinds {
		s.Always[kind], s.Named[kind] = 0, 0
		s.Rules[kind] = &[event.NumSocketFacts][2]uint64{}
		for i, rule := range list {
			bit := BitOf(i, len(list))
			node := filter.Specialise(rule.Node, kind, 0)
			if filter.IsFalse(node) {
				continue
			}
			for f := range event.NumSocketFacts {
				n := needOf(node, socketCall{kind: kind, facts: f}, false)
				s.require(kind, n, 1<<f)
				if !n.never() {
					s.Rules[kind][f] = withBit(s.Rules[kind][f], bit)
				}
			}
		}
	}
	return s
}

func (s *Sockets) require(kind event.Kind, n need, mask uint64) {
	names, some := n.names()
	if !some {
		s.Always[kind] |= mask
	}
	for _, name := range names {
		s.Named[kind] |= mask
		s.Names[name] |= mask
	}
}

// sendAll makes the probe send all calls of a kind, which users asked for.
func (s *Sockets) sendAll(kind event.Kind) {
	sets := s.Rules[kind]
	if sets == nil { // it is not a kind that is looked at
		return
	}
	s.Always[kind] = ^uint64(0)
	for f := range sets {
		sets[f] = AllBits
	}
}

// needed says whether a call with these facts is, by a program of this name.
func (s *Sockets) needed(kind event.Kind, f event.SocketFacts, name string) bool {
	always, ok := s.Always[kind]
	return !ok || (always|s.Named[kind]&s.Names[name])&(1<<f) != 0
}

// SocketChecks are the checks of a condition by which the probe rules calls on
// sockets out, by facts, by addresses or by the names of unix sockets.
func SocketChecks(n filter.Node) map[*filter.Check]bool {
	used := map[*filter.Check]bool{}
	for _, kind := range socketKinds {
		node := filter.Specialise(n, kind, 0)
		if filter.IsFalse(node) {
			continue
		}
		for f := range event.NumSocketFacts {
			for _, c := range needOf(node, socketCall{kind: kind, facts: f}, false).checks() {
				used[c] = true
			}
		}
	}
	maps.Copy(used, addressChecksOf(n))
	maps.Copy(used, unixChecksOf(n))
	return used
}
