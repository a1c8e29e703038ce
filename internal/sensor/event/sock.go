package event

import (
	"encoding/binary"
	"net/netip"
)

// Address families, as the first byte of a SockAddr and a SockTuple. IPv6
// addresses that are mapped IPv4 ones travel as IPv4.
const (
	familyUnix = 1
	familyIPv4 = 2
	familyIPv6 = 10
)

// Endpoint is a decoded SockAddr parameter:
//
//	0        1           5      7
//	|   2    | IPv4      | port |
//	0        1                  17     19
//	|   10   | IPv6             | port |
//	0        1
//	|   1    | path ...                     abstract names start with '@'
//
// Ports have the machine's byte order.
type Endpoint struct {
	Addr netip.AddrPort // of IPv4 and IPv6
	Path string         // of unix sockets; borrows the event
	Unix bool
}

// SockAddr decodes the SockAddr parameter in slot i; false if it is missing,
// too short, or of another family.
func (v *View) SockAddr(i int) (Endpoint, bool) {
	s, ok := v.Str(i)
	if !ok || len(s) == 0 {
		return Endpoint{}, false
	}
	if s[0] == familyUnix {
		return Endpoint{Path: s[1:], Unix: true}, true
	}
	a, _, ok := cutEndpoint(s[0], s[1:])
	return Endpoint{Addr: a}, ok
}

// SockTuple decodes the SockTuple parameter in slot i: the source, then the
// destination, of the data or the connection (an accepted connection comes
// from its client):
//
//	0        1       5       7       11      13
//	|   2    | IPv4  | port  | IPv4  | port  |
//	0        1       17      19      35      37
//	|   10   | IPv6  | port  | IPv6  | port  |
//	0        1
//	|   1    | n | source, n bytes | destination |
func (v *View) SockTuple(i int) (source, destination Endpoint, ok bool) {
	s, ok := v.Str(i)
	if !ok || len(s) == 0 {
		return source, destination, false
	}
	if s[0] == familyUnix {
		if len(s) < 2 || len(s)-2 < int(s[1]) {
			return source, destination, false
		}
		from, to := s[2:2+s[1]], s[2+s[1]:]
		return Endpoint{Path: from, Unix: true}, Endpoint{Path: to, Unix: true}, true
	}
	from, rest, ok := cutEndpoint(s[0], s[1:])
	if !ok {
		return source, destination, false
	}
	to, _, ok := cutEndpoint(s[0], rest)
	return Endpoint{Addr: from}, Endpoint{Addr: to}, ok
}

func cutEndpoint(family byte, s string) (netip.AddrPort, string, bool) {
	n := 4
	if family == familyIPv6 {
		n = 16
	}
	if (family != familyIPv4 && family != familyIPv6) || len(s) < n+2 {
		return netip.AddrPort{}, "", false
	}
	port := binary.NativeEndian.Uint16([]byte(s[n : n+2]))
	return netip.AddrPortFrom(addr(s[:n]), port), s[n+2:], true
}
