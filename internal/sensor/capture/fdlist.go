package capture

import (
	"fmt"
	"net/netip"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Descriptor types of fd lists (facts: libs' scap_fd_type).
const (
	scapFile        = 1
	scapDirectory   = 2
	scapIPv4        = 3
	scapIPv6        = 4
	scapIPv4Server  = 5
	scapIPv6Server  = 6
	scapFIFO        = 7
	scapUnix        = 8
	scapUnsupported = 10
	scapFileV2      = 16
)

// scapTypes are our types for theirs, 0 to 21.
var scapTypes = [...]event.FDType{
	event.FDUnknown, event.FDFile, event.FDDirectory, event.FDIPv4, event.FDIPv6, event.FDIPv4, event.FDIPv6,
	event.FDPipe, event.FDUnix, event.FDEvent, event.FDUnknown, event.FDSignal, event.FDEventPoll, event.FDInotify,
	event.FDTimer, event.FDNetlink, event.FDFile, event.FDBPF, event.FDUserfault, event.FDIOURing, event.FDMemfd, event.FDPID,
}

// Protocols of fd lists (libs' scap_l4_proto) as IP numbers.
var scapProtos = [...]uint8{0, 0, protoTCP, protoUDP, protoICMP, protoRaw}

// readFDs reads the descriptors of one process.
func (r *Reader) readFDs(typ uint32, c cursor) error {
	tid := int32(c.u64())
	t := r.world.threads[tid]
	for len(c.b) >= 4 {
		e := c
		if typ == blockFDs2 {
			e = c.sub(true)
		}
		var f fd
		n := int64(e.u64())
		if err := r.readFD(&f, &e, typ == blockFDs2); err != nil {
			return err
		}
		if e.short || c.short {
			return fmt.Errorf("fd list: %w", errShort)
		}
		if typ != blockFDs2 {
			c = e
		}
		if t != nil && f.info.Type != event.FDUnknown {
			t.p.fds.set(n, &f)
		}
	}
	return nil
}

func (r *Reader) readFD(f *fd, e *cursor, hasLength bool) error {
	f.info.Ino = e.u64()
	typ := e.u8()
	if int(typ) >= len(scapTypes) {
		return fmt.Errorf("fd list: unknown type %d", typ)
	}
	f.info.Type = scapTypes[typ]
	switch typ {
	case scapIPv4, scapIPv6:
		n := 4
		if typ == scapIPv6 {
			n = 16
		}
		src, dst := addr(e.take(n)), addr(e.take(n))
		sport, dport := e.u16(), e.u16()
		f.setAddrs(netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)) // local, remote
		f.info.Flags |= event.FileConnected | roleByPorts(sport, dport)
		f.info.L4Proto = proto(e.u8())
	case scapIPv4Server, scapIPv6Server:
		n := 4
		if typ == scapIPv6Server {
			n = 16
		}
		ip, port := addr(e.take(n)), e.u16()
		f.setAddrs(netip.AddrPortFrom(ip, port), netip.AddrPort{})
		f.info.Flags |= event.FileServer
		f.info.L4Proto = proto(e.u8())
	case scapUnix:
		e.take(16) // kernel addresses of both ends
		f.info.Family = afUnix
		f.local = r.paths.get(e.str())
	case scapFileV2:
		flags := e.u32()
		f.name = r.paths.get(e.str())
		if hasLength {
			f.info.Dev = e.opt32(0)
		}
		f.setOpenFlags(flags)
	case 0:
	default:
		f.name = r.paths.get(e.str())
	}
	return nil
}

func proto(n uint8) uint8 {
	if int(n) < len(scapProtos) {
		return scapProtos[n]
	}
	return 0
}

func addr(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

// setEnds sets a connection's ends from source, the client, and destination.
// The process is the server if inbound.
func (f *fd) setEnds(src, dst netip.AddrPort, inbound bool) {
	f.info.Flags &^= event.FileClient | event.FileServer
	if inbound {
		f.setAddrs(dst, src)
		f.info.Flags |= event.FileServer
	} else {
		f.setAddrs(src, dst)
		f.info.Flags |= event.FileClient
	}
}

// roleByPorts guesses which end of a connection the process is, which lists do
// not tell: clients have ports of the ephemeral range (Linux: from 32768 on).
func roleByPorts(local, remote uint16) event.FileFlags {
	if local < remote && local < 32768 {
		return event.FileServer
	}
	return event.FileClient
}
