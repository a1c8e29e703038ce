package plan

import (
	"net/netip"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
)

// messageKinds are calls that may name the other end of a socket that has none.
var messageKinds = []event.Kind{
	event.KindSendto, event.KindSendmsg, event.KindSendmmsg, event.KindRecvfrom, event.KindRecvmsg, event.KindRecvmmsg,
}

// socketCall is a call on a socket with these facts.
type socketCall struct {
	pathless
	kind  event.Kind
	facts event.SocketFacts
}

func (s socketCall) has(bit event.SocketFacts) bool { return s.facts&bit != 0 }

func (s socketCall) decide(f *filter.Field, c *filter.Check) (value, known bool) {
	single, success := onlyText(c), s.has(event.SocketSuccess)
	switch f.Name {
	case "evt.failed":
		return boolean(c.Op, single, !success)
	case "evt.rawres":
		return sign(c.Op, single, success)
	case "evt.res":
		return result(c, success)
	case "fd.name_changed":
		// Of a message: whether a datagram has its own destination or source.
		if slices.Contains(messageKinds, s.kind) && s.ofKnownType() {
			return boolean(c.Op, single, success && s.has(event.SocketUdp) && !s.has(event.SocketConnected))
		}
	case "fd.connected":
		if s.ofKnownType() {
			return boolean(c.Op, single, s.has(event.SocketConnected))
		}
	case "fd.l4proto", "fd.sockfamily", "fd.type", "fd.typechar":
		return among(c, s.values(f.Name))
	case "fd.net", "fd.cnet", "fd.snet", "fd.lnet", "fd.rnet", "fd.ip", "fd.cip", "fd.sip", "fd.lip", "fd.rip":
		if s.has(event.SocketLoopback) {
			return inLoopback(c)
		}
	}
	return false, false
}

func (s socketCall) ofKnownType() bool {
	return s.has(event.SocketTcp | event.SocketUdp | event.SocketUnix)
}

// values are those that a field may have; nil where nothing is known.
func (s socketCall) values(field string) []string {
	i := slices.Index([]string{"fd.l4proto", "fd.sockfamily", "fd.type", "fd.typechar"}, field)
	switch {
	case s.has(event.SocketTcp):
		return [][]string{{"tcp"}, {"ip"}, {"ipv4", "ipv6"}, {"4", "6"}}[i]
	case s.has(event.SocketUdp):
		return [][]string{{"udp"}, {"ip"}, {"ipv4", "ipv6"}, {"4", "6"}}[i]
	case s.has(event.SocketUnix):
		return [][]string{{"<NA>"}, {"unix"}, {"unix"}, {"u"}}[i]
	}
	return nil
}

// among decides a comparison of a text that is one of the values.
func among(c *filter.Check, values []string) (value, known bool) {
	if len(values) == 0 || !slices.Contains([]filter.Op{filter.Eq, filter.EqEq, filter.In, filter.NotEq}, c.Op) {
		return false, false
	}
	first := slices.Contains(texts(c), values[0])
	for _, v := range values[1:] {
		if slices.Contains(texts(c), v) != first {
			return false, false
		}
	}
	return first != (c.Op == filter.NotEq), true
}

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// inLoopback decides whether an address in 127.0.0.0/8 is among addresses and
// networks: it is in a network that has them all, and not in one that has none
// of them.
func inLoopback(c *filter.Check) (value, known bool) {
	if !slices.Contains([]filter.Op{filter.Eq, filter.EqEq, filter.In, filter.NotEq}, c.Op) {
		return false, false
	}
	within, partly := false, false
	for _, text := range texts(c) {
		network, ok := parseNetwork(text)
		if !ok {
			return false, false
		}
		overlaps := network.Overlaps(loopback)
		within = within || overlaps && network.Bits() <= loopback.Bits()
		partly = partly || overlaps
	}
	return within != (c.Op == filter.NotEq), within || !partly
}

// parseNetwork is false for names of hosts.
func parseNetwork(text string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), true
}
