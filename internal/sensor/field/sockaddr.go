package field

import (
	"encoding/binary"
	"strconv"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// rawSockAddr is "address:port" or a path.
func rawSockAddr(c *Context, dst []byte, p *slotParam) []byte {
	e, ok := c.Event.SockAddr(p.slot)
	if !ok {
		return appendFamily(c, dst, p)
	}
	return appendPeer(dst, e)
}

// rawSockTuple is "source->destination".
func rawSockTuple(c *Context, dst []byte, p *slotParam) []byte {
	source, destination, ok := c.Event.SockTuple(p.slot)
	if !ok {
		return appendFamily(c, dst, p)
	}
	return appendPeer(append(appendPeer(dst, source), "->"...), destination)
}

func appendPeer(dst []byte, e event.Endpoint) []byte {
	if e.Unix {
		return append(dst, e.Path...)
	}
	return appendEndpoint(dst, e.Addr.Addr().Unmap(), e.Addr.Port())
}

// appendFamily appends the family, for addresses of other families.
func appendFamily(c *Context, dst []byte, p *slotParam) []byte {
	b, _ := c.Event.Bytes(p.slot)
	if len(b) == 0 {
		return dst
	}
	return strconv.AppendUint(append(dst, "family "...), uint64(b[0]), 10)
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
