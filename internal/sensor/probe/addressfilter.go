package probe

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

const portRuleSets = 256 // PORT_RULES of bpf/addressfilter.h

// AddressFilter tells which rules can match a call on a socket by its addresses
// and ports; plan.Addresses has the same fields and explains them.
type AddressFilter struct {
	Kinds     event.KindSet
	Networks  map[netip.Prefix][event.NumEnds][2]uint64
	Ports     [1 << 16]uint8
	PortRules [][event.NumEnds][2]uint64
	Nameless  [2]uint64
}

// portRules is struct port_rules of bpf/addressfilter.h.
type portRules struct {
	Index [1 << 16]uint8
	Rules [portRuleSets][event.NumEnds][2]uint64
}

// networkKey is struct network_key of bpf/addressfilter.h.
type networkKey struct {
	Len, Plan, Family uint32
	IP                [16]byte
}

func newNetworkKey(plan uint32, p netip.Prefix) networkKey {
	k := networkKey{Len: networkBits + uint32(p.Bits()), Plan: plan, Family: familyIPv6}
	if p.Addr().Is4() {
		k.Family = familyIPv4
	}
	copy(k.IP[:], p.Addr().AsSlice())
	return k
}

// Families of addresses in the kernel.
const (
	familyIPv4 = 2
	familyIPv6 = 10
)

// mark has the kernel look at addresses.
func (f *AddressFilter) mark(t *ruleMasks) {
	t.Nameless = f.Nameless
	for kind := range event.Kind(event.NumKinds) {
		if f.Kinds.Has(kind) {
			t.Specials[kind].Addresses = 1
		}
	}
}

// setAddresses puts the sets of a plan beside those in use.
func (p *Probe) setAddresses(f *AddressFilter, plan uint32) error {
	ports := &portRules{Index: f.Ports}
	copy(ports.Rules[:], f.PortRules)
	if err := p.coll.Maps["port_rules"].Put(uint32(p.masks), ports); err != nil {
		return fmt.Errorf("tell the probe which ports the rules ask for: %w", err)
	}
	for network, rules := range f.Networks {
		if err := p.coll.Maps["network_rules"].Put(newNetworkKey(plan, network), rules); err != nil {
			return fmt.Errorf("tell the probe which networks the rules ask for: %w", err)
		}
	}
	return nil
}

// tidyAddresses removes the networks of other plans than the one in force. A
// call that is judged by an older one meanwhile finds none, and is sent.
func (p *Probe) tidyAddresses(k *KindFilter) error {
	m := p.coll.Maps["network_rules"]
	var gone []networkKey
	var key networkKey
	var rules [event.NumEnds][2]uint64
	all := m.Iterate()
	for all.Next(&key, &rules) {
		if k == nil || key.Plan != k.Plan {
			gone = append(gone, key)
		}
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("read the networks in the probe: %w", err)
	}
	// The largest first: no call finds one of them in place of a smaller one.
	slices.SortFunc(gone, func(a, b networkKey) int { return cmp.Compare(a.Len, b.Len) })
	for _, key := range gone {
		if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("remove a network from the probe: %w", err)
		}
	}
	return nil
}
