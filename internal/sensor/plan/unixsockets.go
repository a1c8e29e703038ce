package plan

import (
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// unixCall is a call on a unix socket with these facts. The probe makes the text
// of fd.name from the socket, as user space does, so that patterns mean the text:
// it is not clean, and need not be a path.
type unixCall struct{ socketCall }

func (u unixCall) decide(f *filter.Field, c *filter.Check) (value, known bool) {
	if value, known := (endCall{end: noEnd}).decide(f, c); known { // it has no addresses
		return value, known
	}
	return u.socketCall.decide(f, c)
}

func (unixCall) path(name string, op filter.Op, value string) []clause {
	if name != "fd.name" && name != "fd.nameraw" || op == filter.PMatch { // which compares components
		return nil
	}
	return nameNeed(op, value)
}

func (unixCall) excluded(name string, op filter.Op, c *filter.Check) clause {
	return exclusion(name, op, c)
}

// unixNeeds are the needs of the rules about calls on unix sockets, as addCalls
// takes them. Where names can leave nothing out, every call is needed, as far as
// this stage is concerned: it has no cost then.
func unixNeeds(list []*rules.Rule) groups {
	all := groups{}
	for i, kind := range socketKinds {
		var nodes []filter.Node
		for _, rule := range list {
			if node := filter.Specialise(rule.Node, kind, 0); !filter.IsFalse(node) {
				nodes = append(nodes, node)
			}
		}
		for result := range 2 {
			facts := uint64(1) << (2*i + result)
			needs, named := unixNeedsOf(nodes, kind, event.SocketFacts(result)*event.SocketSuccess)
			if !named {
				needs = []need{{}}
			}
			for _, n := range needs {
				all.add(n, facts)
			}
		}
	}
	return all
}

// unixNeedsOf are the needs in calls of a kind that failed or succeeded, connected
// or not. It says whether names can leave some calls out.
func unixNeedsOf(nodes []filter.Node, kind event.Kind, result event.SocketFacts) (needs []need, named bool) {
	for _, node := range nodes {
		for _, connected := range []event.SocketFacts{0, event.SocketConnected} {
			n := needOf(node, unixCall{socketCall{kind: kind, facts: event.SocketUnix | result | connected}}, false)
			switch {
			case n.always():
				return nil, false
			case n.never():
				continue
			}
			needs, named = append(needs, n), named || n.looksAtPaths()
		}
	}
	return needs, named
}

// looksAtPaths says whether paths can make the need unmet.
func (n need) looksAtPaths() bool {
	for _, c := range n.clauses {
		if len(c.patterns) > 0 {
			return true
		}
	}
	return n.excluded.size() > 0
}

// neededUnix is NeededEvent for calls on sockets.
func (o *Opens) neededUnix(v *event.View, name string) bool {
	result := 0
	if v.Header().Res >= 0 {
		result = 1
	}
	needs := o.Calls[v.Kind()][result]
	var f event.FileInfo
	if needs&alwaysSent != 0 || !v.FileInfo(v.Info().File, &f) || f.Type != event.FDUnix {
		return true
	}
	parts := field.UnixName(&f)
	return o.met(needs, name, o.Paths.MatchText(parts[:]...))
}

// unixChecksOf are the checks of a condition by which names rule calls on unix
// sockets out.
func unixChecksOf(n filter.Node) map[*filter.Check]bool {
	used := map[*filter.Check]bool{}
	for _, g := range unixNeeds([]*rules.Rule{{Node: n}}) {
		for _, c := range g.need.checks() {
			used[c] = true
		}
	}
	return used
}
