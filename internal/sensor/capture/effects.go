package capture

import (
	"net/netip"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// effect applies an event in Reader.vals to descriptors and credentials. It may
// set Reader.file to the file that its descriptor referred to.
type effect func(r *Reader, t *thread)

// Bits of Falco's flags (libs' ppm_events_public.h).
const (
	openDirectory = 1 << 10
	openCloexec   = 1 << 12
	openUpper     = 1 << 15
	openLower     = 1 << 16

	closeRangeCloexec = 1 << 2
	cloneNewNS        = 1 << 5
	cloneNewUser      = 1 << 20

	fcntlDup        = 1
	fcntlDupCloexec = 26

	einprogress = 115
	ebadf       = 9
)

var effects = func() (of [event.NumKinds]effect) {
	for _, k := range []event.Kind{event.KindOpen, event.KindOpenat, event.KindOpenat2, event.KindOpenByHandleAt, event.KindCreat} {
		of[k] = openEffect(k)
	}
	for _, k := range []event.Kind{event.KindDup, event.KindDup2, event.KindDup3} {
		of[k] = dupEffect(k)
	}
	for k, typ := range map[event.Kind]event.FDType{
		event.KindEventfd: event.FDEvent, event.KindEventfd2: event.FDEvent,
		event.KindEpollCreate: event.FDEventPoll, event.KindEpollCreate1: event.FDEventPoll,
		event.KindInotifyInit: event.FDInotify, event.KindInotifyInit1: event.FDInotify,
		event.KindTimerfdCreate: event.FDTimer,
		event.KindSignalfd:      event.FDSignal, event.KindSignalfd4: event.FDSignal,
		event.KindUserfaultfd: event.FDUserfault, event.KindPidfdOpen: event.FDPID,
		event.KindIoUringSetup: event.FDIOURing, event.KindBpf: event.FDBPF,
		event.KindMemfdCreate: event.FDMemfd,
	} {
		of[k] = anonEffect(k, typ)
	}
	for _, k := range []event.Kind{event.KindPipe, event.KindPipe2, event.KindSocketpair} {
		of[k] = pairEffect(k)
	}
	for _, k := range []event.Kind{event.KindAccept, event.KindAccept4} {
		of[k] = (*Reader).accept
	}
	for _, k := range []event.Kind{event.KindSend, event.KindSendto, event.KindSendmsg, event.KindSendmmsg} {
		of[k] = datagramEffect(k, false)
	}
	for _, k := range []event.Kind{event.KindRecv, event.KindRecvfrom, event.KindRecvmsg, event.KindRecvmmsg} {
		of[k] = datagramEffect(k, true)
	}
	of[event.KindClose] = (*Reader).close
	of[event.KindCloseRange] = (*Reader).closeRange
	of[event.KindFcntl] = (*Reader).fcntl
	of[event.KindSocket] = (*Reader).socket
	of[event.KindBind] = (*Reader).bind
	of[event.KindConnect] = (*Reader).connect
	of[event.KindListen] = (*Reader).listen
	of[event.KindPidfdGetfd] = (*Reader).pidfdGetfd
	credentialEffects(&of)
	return of
}()

// openEffect adds the file that an open has opened.
func openEffect(k event.Kind) effect {
	info := k.Info()
	name, flags, dev, ino := info.Slot("name"), info.Slot("flags"), info.Slot("dev"), info.Slot("ino")
	if name < 0 {
		name = info.Slot("path")
	}
	dirfd := pathsOf(info)[0].dirfd
	creat := k == event.KindCreat
	if creat {
		flags = info.Slot("creat_flags")
	}
	return func(r *Reader, t *thread) {
		v := &r.vals
		n := v.int(0)
		if n < 0 {
			return
		}
		f := &r.fileBuf
		*f = fd{}
		f.info.Type = event.FDFile
		f.info.Dev, f.info.Ino = uint32(v.num(dev)), v.num(ino)
		if bits := uint32(v.num(flags)); creat {
			f.info.Flags = event.FileFlags(bits) & (event.FileUpperLayer | event.FileLowerLayer)
		} else {
			f.setOpenFlags(bits)
		}
		f.name = r.paths.get(r.absolute(t, dirfd, v.text(name)))
		t.p.fds.set(n, f)
		r.file, r.given = f, true
	}
}

// setOpenFlags applies the flags of an open, in Falco's bits.
func (f *fd) setOpenFlags(flags uint32) {
	if flags&openDirectory != 0 {
		f.info.Type = event.FDDirectory
	}
	if flags&openUpper != 0 {
		f.info.Flags |= event.FileUpperLayer
	}
	if flags&openLower != 0 {
		f.info.Flags |= event.FileLowerLayer
	}
	f.cloexec = flags&openCloexec != 0
}

func dupEffect(k event.Kind) effect {
	old, flags := k.Info().Slot("oldfd"), k.Info().Slot("flags")
	return func(r *Reader, t *thread) {
		n := r.vals.int(0)
		if n < 0 {
			return
		}
		cloexec := flags >= 0 && r.vals.num(flags)&openCloexec != 0
		r.duplicate(t, r.vals.int(old), n, cloexec)
	}
}

// duplicate makes n a copy of descriptor old.
func (r *Reader) duplicate(t *thread, old, n int64, cloexec bool) {
	f := t.p.fds.get(old)
	if f == nil {
		t.p.fds.drop(n)
		return
	}
	r.fileBuf = *f
	r.fileBuf.cloexec = cloexec
	t.p.fds.set(n, &r.fileBuf)
	r.file = &r.fileBuf
}

// anonEffect adds a descriptor that is no file.
func anonEffect(k event.Kind, typ event.FDType) effect {
	info := k.Info()
	flags, name := info.Slot("flags"), -1
	if typ == event.FDMemfd {
		name = info.Slot("name")
	}
	return func(r *Reader, t *thread) {
		n := r.vals.int(0)
		if n < 0 {
			return
		}
		f := &r.fileBuf
		*f = fd{}
		f.info.Type = typ
		if flags >= 0 {
			f.cloexec = r.vals.num(flags)&openCloexec != 0
		}
		if name >= 0 {
			r.scratch = append(append(r.scratch[:0], "/memfd:"...), r.vals.text(name)...)
			f.name = r.paths.get(r.scratch)
		}
		t.p.fds.set(n, f)
		r.file = f
	}
}

// pairEffect adds the two descriptors of a pipe or a pair of sockets.
func pairEffect(k event.Kind) effect {
	info := k.Info()
	fd1, fd2, ino, flags, domain := info.Slot("fd1"), info.Slot("fd2"), info.Slot("ino"), info.Slot("flags"), info.Slot("domain")
	return func(r *Reader, t *thread) {
		v := &r.vals
		if v.int(0) < 0 {
			return
		}
		f := &r.fileBuf
		*f = fd{}
		f.info.Type = event.FDPipe
		if domain >= 0 {
			f.info.Family = uint8(v.num(domain))
			f.info.Type = socketType(f.info.Family)
			f.info.Flags = event.FileConnected
		}
		if ino >= 0 {
			f.info.Ino = v.num(ino)
		}
		f.cloexec = flags >= 0 && v.num(flags)&openCloexec != 0
		t.p.fds.set(v.int(fd1), f)
		t.p.fds.set(v.int(fd2), f)
		r.file = f
	}
}

func (r *Reader) close(t *thread) {
	const res, num = 0, 1
	n := r.vals.int(num)
	if f := t.p.fds.get(n); f != nil {
		r.fileBuf = *f
		r.file = &r.fileBuf
	}
	if r.vals.has(num) && r.vals.int(res) != -ebadf { // any other error closes it too
		t.p.fds.drop(n)
	}
}

func (r *Reader) closeRange(t *thread) {
	const res, first, last, flags = 0, 1, 2, 3
	v := &r.vals
	if v.int(res) == 0 && v.num(flags)&closeRangeCloexec == 0 {
		t.p.fds.dropRange(int64(v.num(first)), int64(v.num(last)))
	}
}

func (r *Reader) fcntl(t *thread) {
	const res, num, cmd = 0, 1, 2
	v := &r.vals
	if c := v.num(cmd); v.int(res) >= 0 && (c == fcntlDup || c == fcntlDupCloexec) {
		r.duplicate(t, v.int(num), v.int(res), c == fcntlDupCloexec)
	}
}

func (r *Reader) pidfdGetfd(t *thread) {
	if n := r.vals.int(0); n >= 0 { // of another process: the capture does not say which file it refers to
		t.p.fds.drop(n)
	}
}

func socketType(family uint8) event.FDType {
	switch family {
	case afInet:
		return event.FDIPv4
	case afInet6:
		return event.FDIPv6
	case afUnix:
		return event.FDUnix
	case afNetlink:
		return event.FDNetlink
	case afPacket:
		return event.FDPacket
	}
	return event.FDOtherSocket
}

func (r *Reader) socket(t *thread) {
	const num, domain, typ, protocol = 0, 1, 2, 3
	v := &r.vals
	n := v.int(num)
	if n < 0 {
		return
	}
	const sockCloexec = 0o2000000
	f := &r.fileBuf
	*f = fd{}
	f.info.Family = uint8(v.num(domain))
	f.info.Type = socketType(f.info.Family)
	f.cloexec = v.num(typ)&sockCloexec != 0
	if f.isIP() {
		f.info.L4Proto = uint8(v.num(protocol))
		if f.info.L4Proto == 0 {
			switch v.num(typ) & 0xff {
			case sockStream:
				f.info.L4Proto = protoTCP
			case sockDgram:
				f.info.L4Proto = protoUDP
			}
		}
	}
	t.p.fds.set(n, f)
	r.file = f
}

// known returns a copy of the event's descriptor in Reader.fileBuf, to be
// changed and put back.
func (r *Reader) known(t *thread, slot int) (f *fd, n int64) {
	n = r.vals.int(slot)
	p := t.p.fds.get(n)
	if p == nil || !r.vals.has(slot) {
		return nil, n
	}
	r.fileBuf = *p
	return &r.fileBuf, n
}

func (r *Reader) bind(t *thread) {
	const res, address, num = 0, 1, 2
	f, n := r.known(t, num)
	a, ok := r.vals.order.addr(r.vals.v[address])
	if f == nil || !ok || r.vals.int(res) < 0 {
		return
	}
	if a.family == afUnix {
		f.info.Type, f.local = event.FDUnix, r.paths.get(a.path)
	} else {
		_, remote := f.ends()
		f.setAddrs(a.ip, remote)
	}
	t.p.fds.set(n, f)
}

func (r *Reader) connect(t *thread) {
	const res, tuple, num, address = 0, 1, 2, 3
	v := &r.vals
	f, n := r.known(t, num)
	if err := v.int(res); f == nil || (err < 0 && err != -einprogress) {
		return
	}
	if c, ok := v.order.tuple(v.v[tuple]); ok {
		if c.family == afUnix {
			f.info.Type, f.remote = event.FDUnix, r.paths.get(c.path)
		} else {
			f.setEnds(c.src, c.dst, false)
		}
	} else if a, ok := v.order.addr(v.v[address]); ok {
		if a.family == afUnix {
			f.info.Type, f.remote = event.FDUnix, r.paths.get(a.path)
		} else {
			local, _ := f.ends()
			f.setEnds(local, a.ip, false)
		}
	}
	// A connection under way counts, as in Falco: nothing will tell when it is
	// made.
	f.info.Flags |= event.FileConnected
	t.p.fds.set(n, f)
}

func (r *Reader) listen(t *thread) {
	const res, num = 0, 1
	if f, n := r.known(t, num); f != nil && r.vals.int(res) >= 0 {
		f.info.Flags |= event.FileListening | event.FileServer
		t.p.fds.set(n, f)
	}
}

// accept adds the socket of a client, which is the tuple's source.
func (r *Reader) accept(t *thread) {
	const num, tuple = 0, 1
	v := &r.vals
	n := v.int(num)
	if n < 0 {
		return
	}
	f := &r.fileBuf
	*f = fd{}
	f.info.Type = event.FDOtherSocket
	if c, ok := v.order.tuple(v.v[tuple]); ok {
		if f.info.Family = c.family; c.family == afUnix {
			f.info.Type, f.local = event.FDUnix, r.paths.get(c.path)
			f.info.Flags = event.FileServer
		} else {
			f.info.L4Proto = protoTCP
			f.setEnds(c.src, c.dst, true)
		}
	}
	f.info.Flags |= event.FileConnected
	t.p.fds.set(n, f)
	r.file = f
}

// datagramEffect notes the peer of a UDP socket that is not connected: the
// destination of sent datagrams, the source of received ones.
func datagramEffect(k event.Kind, received bool) effect {
	num, tuple := k.Info().Slot("fd"), k.Info().Slot("tuple")
	return func(r *Reader, t *thread) {
		v := &r.vals
		if v.int(0) < 0 || !v.has(tuple) {
			return
		}
		f, n := r.known(t, num)
		if f == nil || !f.isIP() || f.info.L4Proto != protoUDP || f.info.Flags&event.FileConnected != 0 {
			return
		}
		c, ok := v.order.tuple(v.v[tuple])
		if !ok || c.family == afUnix {
			return
		}
		local, remote := c.src, c.dst
		if received {
			local, remote = c.dst, c.src
		}
		if f.info.Flags&(event.FileServer|event.FileClient) == 0 { // who speaks first is the client
			f.info.Flags |= roleOf(received)
		}
		f.setAddrs(keepPort(local, f), remote)
		t.p.fds.set(n, f)
		r.fileBuf = *f
		r.file = &r.fileBuf
	}
}

func roleOf(received bool) event.FileFlags {
	if received {
		return event.FileServer
	}
	return event.FileClient
}

// keepPort is the local end of a datagram, or the one that the socket was
// bound to where the tuple does not say.
func keepPort(local netip.AddrPort, f *fd) netip.AddrPort {
	if local.Port() == 0 {
		local, _ = f.ends()
	}
	return local
}
