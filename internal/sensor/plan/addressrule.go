package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
)

// addressRule is a rule that asks for addresses.
type addressRule struct {
	bit      int
	kinds    event.KindSet
	node     filter.Node // the projection of its condition, for one kind or another
	checks   addressChecks
	networks []netip.Prefix
	ports    []int // at which the value of a check changes
}

// newAddressRule says whether a rule can match calls on sockets whatever the
// addresses are; nil if it can, or if it is about other kinds of events.
func newAddressRule(n filter.Node, bit int) (r *addressRule, always bool) {
	r = &addressRule{bit: bit, checks: addressChecks{}}
	or := &filter.Or{}
	seen := map[string]bool{}
	for _, kind := range socketKinds {
		node := filter.Specialise(n, kind, 0)
		if filter.IsFalse(node) {
			continue
		}
		node = addressProjection(node)
		if filter.IsTrue(node) {
			return nil, true
		}
		r.kinds.Add(kind)
		if text := node.String(); !seen[text] {
			seen[text] = true
			or.Nodes = append(or.Nodes, node)
		}
	}
	if len(or.Nodes) == 0 {
		return nil, false
	}
	r.node = or
	r.gather()
	return r, false
}

func addressProjection(node filter.Node) filter.Node {
	return filter.ProjectFields(node, func(f *filter.Field) bool {
		_, _, ok := addressField(f.Name)
		return ok
	})
}

// gather notes where the values of the checks change.
func (r *addressRule) gather() {
	networks, ports := slices.Clone(everyNetwork), []int{0}
	filter.Walk(r.node, func(n filter.Node) {
		c, ok := n.(*filter.Check)
		if !ok {
			return
		}
		f, ok := c.Left.(*filter.Field)
		if !ok {
			return
		}
		_, port, ok := addressField(f.Name)
		if !ok {
			return
		}
		k := r.checks.of(c, port)
		if k == nil {
			return
		}
		for network := range k.networks {
			networks = append(networks, network)
		}
		for _, n := range k.ports {
			ports = append(ports, n)
			if n < 1<<16-1 {
				ports = append(ports, n+1)
			}
		}
	})
	r.networks, r.ports = sortedNetworks(networks), sorted(ports)
}

// can says whether the rule can match a call.
func (r *addressRule) can(e endCall) bool {
	e.checks = r.checks
	return !needOf(r.node, e, false).never()
}

// canAt says it of the ends at an address or a port.
func (r *addressRule) canAt(e endCall) (can [event.NumEnds]bool) {
	for e.end = range can {
		can[e.end] = r.can(e)
	}
	return can
}

// endsByNetwork are the ends at which a rule can match, by network.
type endsByNetwork struct {
	ends    map[netip.Prefix][event.NumEnds]bool
	lengths []int // of the networks, the longest first
}

func (r *addressRule) byNetwork() endsByNetwork {
	b := endsByNetwork{ends: map[netip.Prefix][event.NumEnds]bool{}}
	for _, p := range r.networks {
		b.ends[p] = r.canAt(endCall{network: p})
		b.lengths = append(b.lengths, -p.Bits())
	}
	b.lengths = sorted(b.lengths)
	return b
}

// of looks at the smallest of the rule's networks that has all of p.
func (b endsByNetwork) of(p netip.Prefix) [event.NumEnds]bool {
	for _, n := range b.lengths {
		if -n > p.Bits() {
			continue
		}
		if larger, err := p.Addr().Prefix(-n); err == nil {
			if can, ok := b.ends[larger]; ok {
				return can
			}
		}
	}
	panic(fmt.Sprintf("plan: %s is in no network: expected everyNetwork to have all", p))
}

// endsByPort are the ends at which a rule can match, from one port to before the
// next.
type endsByPort struct {
	starts []int
	ends   [][event.NumEnds]bool
}

func (r *addressRule) byPort() endsByPort {
	b := endsByPort{starts: r.ports}
	for _, port := range r.ports {
		b.ends = append(b.ends, r.canAt(endCall{port: port}))
	}
	return b
}

func (b endsByPort) of(port int) [event.NumEnds]bool {
	i, found := slices.BinarySearch(b.starts, port)
	if !found {
		i--
	}
	return b.ends[i]
}

// addressChecksOf are the checks of a condition by which addresses and ports rule
// calls on sockets out.
func addressChecksOf(n filter.Node) map[*filter.Check]bool {
	used := map[*filter.Check]bool{}
	r, _ := newAddressRule(n, 0)
	if r == nil {
		return used
	}
	note := func(e endCall) {
		e.checks = r.checks
		for e.end = range noEnd + 1 {
			for _, c := range needOf(r.node, e, false).checks() {
				used[c] = true
			}
		}
	}
	for _, network := range r.networks {
		note(endCall{network: network})
	}
	for _, port := range r.ports {
		note(endCall{port: port})
	}
	return used
}
