package field

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"golang.org/x/sys/unix"
)

// rawSockAddr is "address:port" or a path.
func rawSockAddr(c *Context, dst []byte, p *slotParam) []byte {
	b, _ := c.Event.Bytes(p.slot)
	if len(b) == 0 {
		return dst
	}
	family, b := b[0], b[1:]
	n := addrLength(family)
	switch {
	case family == unix.AF_UNIX:
		return append(dst, b...)
	case n == 0 || len(b) < n+2:
		return appendFamily(dst, family)
	}
	a, port := endpoint(b, n)
	return appendEndpoint(dst, a, port)
}

// rawSockTuple is "source->destination".
func rawSockTuple(c *Context, dst []byte, p *slotParam) []byte {
	b, _ := c.Event.Bytes(p.slot)
	if len(b) == 0 {
		return dst
	}
	family, b := b[0], b[1:]
	n := addrLength(family)
	switch {
	case family == unix.AF_UNIX:
		return appendUnixTuple(dst, b)
	case n == 0 || len(b) < 2*(n+2):
		return appendFamily(dst, family)
	}
	source, sport := endpoint(b, n)
	destination, dport := endpoint(b[n+2:], n)
	dst = append(appendEndpoint(dst, source, sport), "->"...)
	return appendEndpoint(dst, destination, dport)
}

// appendUnixTuple appends a unix tuple: source path, NUL, destination path.
func appendUnixTuple(dst, b []byte) []byte {
	for i, ch := range b {
		if ch == 0 {
			return append(append(append(dst, b[:i]...), "->"...), b[i+1:]...)
		}
	}
	return append(append(dst, "->"...), b...)
}

func appendFamily(dst []byte, family byte) []byte {
	return strconv.AppendUint(append(dst, "family "...), uint64(family), 10)
}

func addrLength(family byte) int {
	switch family {
	case unix.AF_INET:
		return 4
	case unix.AF_INET6:
		return 16
	}
	return 0
}

// endpoint decodes an address of n bytes and the port that follows it.
func endpoint(b []byte, n int) (netip.Addr, uint16) {
	a, _ := netip.AddrFromSlice(b[:n])
	return a.Unmap(), binary.NativeEndian.Uint16(b[n:])
}

// eachFD calls yield for the descriptors of an FDList parameter: u16 count,
// then count times {s64 fd, s16 events}, packed.
func eachFD(c *Context, slot int, yield func(fd int64, events int16) bool) bool {
	b, ok := c.Event.Bytes(slot)
	if !ok || len(b) < 2 {
		return false
	}
	n := int(binary.NativeEndian.Uint16(b))
	for b = b[2:]; n > 0 && len(b) >= 10; n, b = n-1, b[10:] {
		if !yield(int64(binary.NativeEndian.Uint64(b)), int16(binary.NativeEndian.Uint16(b[8:]))) {
			break
		}
	}
	return true
}

// rawFDList is "fd:<type><events in hexadecimal>" for each, e.g. "5:u1 7:41".
func rawFDList(c *Context, dst []byte, p *slotParam) []byte {
	start := len(dst)
	eachFD(c, p.slot, func(fd int64, events int16) bool {
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		char := byte('?')
		if d, ok := c.descriptor(fd); ok {
			char = typeChar(&event.FileInfo{Type: d.kind})
		}
		dst = append(appendInt(dst, fd), ':', char)
		dst = strconv.AppendUint(dst, uint64(uint16(events)), 16)
		return true
	})
	return dst
}
