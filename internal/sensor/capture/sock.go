package capture

import (
	"encoding/binary"
	"net/netip"
)

// Address families and protocols, as the kernel numbers them.
const (
	afUnix    = 1
	afInet    = 2
	afInet6   = 10
	afNetlink = 16
	afPacket  = 17

	protoICMP = 1
	protoTCP  = 6
	protoUDP  = 17
	protoRaw  = 255

	sockStream = 1
	sockDgram  = 2
)

// sockAddr is an address of a file: u8 family, then IP address and u16 port,
// or the path of a unix socket.
type sockAddr struct {
	family uint8
	ip     netip.AddrPort
	path   []byte
}

func (o order) addr(b []byte) (a sockAddr, ok bool) {
	if len(b) == 0 {
		return a, false
	}
	a.family = b[0]
	n, isIP := ipLen(a.family)
	switch b = b[1:]; {
	case isIP && len(b) >= n+2:
		a.ip = netip.AddrPortFrom(addr(b[:n]), o.u16(b[n:]))
		return a, true
	case a.family == afUnix:
		a.path = unixName(b)
		return a, true
	}
	return a, false
}

// sockTuple is both ends of a connection in a file: u8 family, then source
// address, port, destination address, port; or, for unix sockets, the kernel
// addresses of both (u64) and the path.
type sockTuple struct {
	family   uint8
	src, dst netip.AddrPort
	path     []byte
}

func (o order) tuple(b []byte) (t sockTuple, ok bool) {
	if len(b) == 0 {
		return t, false
	}
	t.family = b[0]
	n, isIP := ipLen(t.family)
	switch b = b[1:]; {
	case isIP && len(b) >= 2*n+4:
		t.src = netip.AddrPortFrom(addr(b[:n]), o.u16(b[n:]))
		b = b[n+2:]
		t.dst = netip.AddrPortFrom(addr(b[:n]), o.u16(b[n:]))
		return t, true
	case t.family == afUnix && len(b) >= 16:
		t.path = unixName(b[16:])
		return t, true
	}
	return t, false
}

func ipLen(family uint8) (int, bool) {
	switch family {
	case afInet:
		return 4, true
	case afInet6:
		return 16, true
	}
	return 0, false
}

// unixName is the path of a unix socket; the NUL that begins an abstract name
// becomes '@'.
func unixName(b []byte) []byte {
	if len(b) > 1 && b[0] == 0 {
		b[0] = '@' // in the block, which is ours
	}
	for i := 1; i < len(b); i++ {
		if b[i] == 0 {
			b = b[:i]
			break
		}
	}
	if len(b) == 1 && b[0] == 0 {
		return nil
	}
	return b
}

func appendNative16(dst []byte, n uint16) []byte { return binary.NativeEndian.AppendUint16(dst, n) }
func appendNative64(dst []byte, n uint64) []byte { return binary.NativeEndian.AppendUint64(dst, n) }

// appendAddr turns a file's address into an event's.
func (r *Reader) appendAddr(dst, b []byte) []byte {
	a, ok := r.vals.order.addr(b)
	switch {
	case !ok:
		return dst
	case a.family == afUnix:
		return append(append(dst, afUnix), a.path...)
	}
	ip := a.ip.Addr().Unmap()
	return appendEndpoint(append(dst, familyOf(ip)), ip, a.ip.Port())
}

// appendTuple turns a file's tuple into an event's. Of unix sockets the file
// has one path, that of the socket that is listening.
func (r *Reader) appendTuple(dst, b []byte) []byte {
	t, ok := r.vals.order.tuple(b)
	switch {
	case !ok:
		return dst
	case t.family == afUnix:
		return append(append(append(dst, afUnix), 0), t.path...)
	}
	src, dest := unmap(t.src.Addr(), t.dst.Addr())
	dst = appendEndpoint(append(dst, familyOf(src)), src, t.src.Port())
	return appendEndpoint(dst, dest, t.dst.Port())
}

// unmap turns both ends of a connection from IPv4-mapped IPv6 into IPv4
// addresses; an unknown end (::) takes the family of the other.
func unmap(a, b netip.Addr) (netip.Addr, netip.Addr) {
	is4 := func(x netip.Addr) bool { return x.Is4() || x.Is4In6() }
	open := func(x netip.Addr) bool { return !x.IsValid() || x.IsUnspecified() }
	if (!is4(a) && !is4(b)) || (!is4(a) && !open(a)) || (!is4(b) && !open(b)) {
		return a, b
	}
	to4 := func(x netip.Addr) netip.Addr {
		if x.Is6() && x.IsUnspecified() {
			return netip.IPv4Unspecified()
		}
		return x.Unmap()
	}
	return to4(a), to4(b)
}

func familyOf(a netip.Addr) byte {
	if a.Is4() {
		return afInet
	}
	return afInet6
}

func appendEndpoint(dst []byte, a netip.Addr, port uint16) []byte {
	if a.Is4() {
		b := a.As4()
		dst = append(dst, b[:]...)
	} else {
		b := a.As16()
		dst = append(dst, b[:]...)
	}
	return appendNative16(dst, port)
}
