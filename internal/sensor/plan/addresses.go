package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// Addresses tells the probe which rules can match a call on a socket by the
// addresses and ports of its ends. What each of these says is looked up by itself,
// for each part that an end can play; the probe joins the sets.
type Addresses struct {
	// Kinds are those of which some rule asks for addresses.
	Kinds event.KindSet
	// Networks has the rules that can match if an end's address is in a network,
	// and in no smaller one of these. Every address is in one.
	Networks map[netip.Prefix][event.NumEnds][2]uint64
	// Ports has, by port, the index of its rules in PortRules.
	Ports     [1 << 16]uint8
	PortRules [][event.NumEnds][2]uint64
	// Nameless are the rules that can match if there are no addresses.
	Nameless [2]uint64
}

// maxNetworks is how many networks the probe has room for, and maxPortRules how
// many sets of rules of ports; of more, some become one.
const (
	maxNetworks  = 1 << 15
	maxPortRules = 1 << 8
	maxAddresses = 1 << 20 // networks and ports times rules: bounds the time that a plan takes
)

// everyNetwork are networks that there always are: with them, each address is in
// one, and those of nobody are alone in theirs.
var everyNetwork = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"),
	netip.MustParsePrefix("0.0.0.0/32"), netip.MustParsePrefix("::/128"),
}

// endSets are the rules that can match an end, by what it is.
type endSets [event.NumEnds][2]uint64

func (s *endSets) add(ends [event.NumEnds]bool, bit int) {
	for end, can := range ends {
		if can {
			s[end] = withBit(s[end], bit)
		}
	}
}

// NewAddresses derives the filter from the rules; nil if none asks for addresses.
func NewAddresses(list []*rules.Rule) (*Addresses, error) {
	a := &Addresses{Networks: map[netip.Prefix][event.NumEnds][2]uint64{}}
	base := withBit(Bits{}, NoRule)
	var asking []*addressRule
	for i, rule := range list {
		r, always := newAddressRule(rule.Node, BitOf(i, len(list)))
		switch {
		case always:
			base.Set(BitOf(i, len(list)))
		case r != nil:
			asking = append(asking, r)
			a.Kinds.AddAll(r.kinds)
		}
	}
	if len(asking) == 0 {
		return nil, nil
	}
	networks, ports := everyNetwork, []int{0}
	for _, r := range asking {
		networks, ports = append(networks, r.networks...), append(ports, r.ports...)
	}
	networks, ports = sortedNetworks(networks), sorted(ports)
	if n := len(networks) + len(ports); len(networks) > maxNetworks || n*len(asking) > maxAddresses {
		return nil, fmt.Errorf("%d rules ask for %d addresses and ports", len(asking), n)
	}
	a.setNetworks(networks, asking, base)
	a.setPorts(ports, asking, base)
	a.Nameless = base
	for _, r := range asking {
		if r.can(endCall{end: noEnd}) {
			a.Nameless = withBit(a.Nameless, r.bit)
		}
	}
	return a, nil
}

func sorted(list []int) []int { return slices.Compact(slices.Sorted(slices.Values(list))) }

func sortedNetworks(list []netip.Prefix) []netip.Prefix {
	return slices.Compact(slices.SortedFunc(slices.Values(list), func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	}))
}

// ofBase are sets to which every end belongs.
func ofBase(base Bits) (s endSets) {
	for end := range s {
		s[end] = base
	}
	return s
}

func (a *Addresses) setNetworks(networks []netip.Prefix, asking []*addressRule, base Bits) {
	sets := make([]endSets, len(networks))
	for i := range sets {
		sets[i] = ofBase(base)
	}
	for _, r := range asking {
		own := r.byNetwork()
		for i, p := range networks {
			sets[i].add(own.of(p), r.bit)
		}
	}
	for i, p := range networks {
		a.Networks[p] = sets[i]
	}
}

// setPorts makes sets for the ranges of ports that start at those given.
func (a *Addresses) setPorts(starts []int, asking []*addressRule, base Bits) {
	sets := make([]endSets, len(starts))
	for i := range sets {
		sets[i] = ofBase(base)
	}
	for _, r := range asking {
		own := r.byPort()
		for i, port := range starts {
			sets[i].add(own.of(port), r.bit)
		}
	}
	index := map[endSets]int{}
	for i, start := range starts {
		class, ok := index[sets[i]]
		switch {
		case ok:
		case len(a.PortRules) < maxPortRules:
			class = len(a.PortRules)
			index[sets[i]] = class
			a.PortRules = append(a.PortRules, sets[i])
		default: // the last is that of all for which there is no room
			class = maxPortRules - 1
			for end := range sets[i] {
				a.PortRules[class][end] = Bits(a.PortRules[class][end]).Or(sets[i][end])
			}
		}
		end := len(a.Ports)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		for port := start; port < end; port++ {
			a.Ports[port] = uint8(class)
		}
	}
}
