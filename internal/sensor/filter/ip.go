package filter

import (
	"net/netip"
	"strings"
)

// addrMatcher compiles operator and constants of a check on an address or,
// with nets, on whether an address is in a network.
func addrMatcher(c *Check, nets bool) (func(netip.Addr) bool, error) {
	var single []func(netip.Addr) bool
	for _, v := range c.Values {
		m, err := parseAddr(v, nets)
		if err != nil {
			return nil, err
		}
		single = append(single, m)
	}
	var match func(netip.Addr) bool
	switch c.Op {
	case Eq, EqEq, In, Intersects:
	case NotEq:
		for i, m := range single {
			single[i] = func(a netip.Addr) bool { return !m(a) }
		}
	default:
		return nil, c.unsupported("IP address")
	}
	switch {
	case c.Modifier != NoModifier:
		match = combined[netip.Addr](c.Modifier, single)
	case len(single) == 1:
		match = single[0]
	default:
		match = combined[netip.Addr](AnyOf, single)
	}
	return func(a netip.Addr) bool { return match(a.Unmap()) }, nil
}

// parseAddr reads an address or a network. A '.' anywhere makes it IPv4. An
// address of the other family differs from every one.
func parseAddr(v Value, nets bool) (func(netip.Addr) bool, error) {
	four := strings.Contains(v.Text, ".")
	if nets {
		p, err := netip.ParsePrefix(v.Text)
		if err != nil || p.Addr().Is4() != four {
			return nil, &Error{Pos: v.At, Msg: "unrecognized IP network " + v.Text}
		}
		p = p.Masked()
		return p.Contains, nil
	}
	a, err := netip.ParseAddr(v.Text)
	if err != nil || a.Is4() != four || a.Zone() != "" {
		return nil, &Error{Pos: v.At, Msg: "unrecognized IP address " + v.Text}
	}
	a = a.Unmap()
	return func(b netip.Addr) bool { return a == b }, nil
}
