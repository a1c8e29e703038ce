package field

import (
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// fdName is fd.name, built once per event and name.
func fdName(c *Context) (string, bool) {
	name := &c.names[c.name]
	if name.state == unknown {
		name.state = absent
		if s, ok := makeName(c); ok {
			name.s, name.state = s, present
		}
	}
	return name.s, name.state == present
}

func makeName(c *Context) (string, bool) {
	info := c.Event.Info()
	if info.Traits&(event.CreatesFD|event.UsesFD) == 0 {
		return "", false
	}
	if isOpen(c.Event.Kind()) {
		return openName(c)
	}
	f := c.fileInfo()
	if f == nil {
		// Falco has a nameless entry for the current directory.
		return "", info.FD >= 0 && c.Event.Int(info.FD) == unix.AT_FDCWD
	}
	switch f.Type {
	case event.FDIPv4, event.FDIPv6:
		return c.keep(appendTuple(c.buf, socketOf(f))), true
	case event.FDUnix:
		dst := c.buf
		for _, part := range UnixName(f) {
			dst = append(dst, part...)
		}
		return c.keep(dst), true
	}
	return f.Path(), true
}

// openName is the path that an open was given, made absolute; or, if the
// Context asks for it, the one that the kernel resolved.
func openName(c *Context) (string, bool) {
	f := c.fileInfo()
	if want := c.wanted(); want.file >= 0 {
		return f.Views().At(want.file), true
	}
	slot := openings[c.Event.Kind()].name
	path, ok := c.Event.Str(slot)
	if !ok || (path == "" && f != nil) { // by handle: there is no name but the kernel's
		if f == nil {
			return "", false
		}
		return f.Path(), true
	}
	return c.absolute(&kindParams[c.Event.Kind()][slot])
}

// fdNameRaw is the path as an open was given it, but for repeated slashes.
func fdNameRaw(c *Context) (string, bool) {
	k := c.Event.Kind()
	if !isOpen(k) || k == event.KindOpenByHandleAt {
		return fdName(c)
	}
	path, ok := c.Event.Str(openings[k].name)
	if !ok {
		return "", false
	}
	for i := 1; i < len(path); i++ {
		if path[i] == '/' && path[i-1] == '/' {
			return c.withoutRepeats(path), true
		}
	}
	return path, true
}

func (c *Context) withoutRepeats(path string) string {
	start := len(c.buf)
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			c.buf = append(c.buf, path[i])
		}
	}
	return c.built(start)
}

// nameChanged says whether the event gives the descriptor another name. Only
// the kernel's state after the event is known: a UDP socket that is not
// connected has another name with every peer, and counts each time.
func nameChanged(c *Context) (uint64, bool) {
	f := c.fileInfo()
	if f == nil {
		return 0, false
	}
	switch c.Event.Kind() {
	case event.KindConnect:
		res := c.Event.Int(0)
		return b2u(res >= 0 || res == -int64(unix.EINPROGRESS)), true
	case event.KindBind:
		return b2u(c.Event.Int(0) >= 0), true
	case event.KindSendto, event.KindSendmsg, event.KindSendmmsg, event.KindRecvfrom, event.KindRecvmsg, event.KindRecvmmsg:
		return b2u(f.L4Proto == unix.IPPROTO_UDP && f.Flags&event.FileConnected == 0 && c.Event.Int(0) >= 0), true
	}
	return 0, true
}

// appendEndpoint appends "address:port"; IPv6 addresses without brackets, as
// Falco has them.
func appendEndpoint(dst []byte, a netip.Addr, port uint16) []byte {
	if a.IsValid() {
		dst = a.AppendTo(dst)
	}
	return strconv.AppendUint(append(dst, ':'), uint64(port), 10)
}

// appendTuple appends the name of an IP socket: "client->server" if it has a
// remote end, its own address if it only has that, nothing otherwise.
func appendTuple(dst []byte, s socket) []byte {
	switch {
	case s.remote:
		dst = append(appendEndpoint(dst, s.client, s.clientPort), "->"...)
		return appendEndpoint(dst, s.server, s.serverPort)
	case s.localPort() != 0:
		return appendEndpoint(dst, s.local(), s.localPort())
	}
	return dst
}

// UnixName has the parts of the name of a unix socket: its own path, and that of
// the other end behind an arrow, if it has one.
func UnixName(f *event.FileInfo) [3]string {
	local, remote := f.UnixPaths()
	if f.Flags&event.FileServer != 0 {
		local, remote = remote, local
	}
	if remote == "" && f.Flags&event.FileConnected == 0 {
		return [3]string{local}
	}
	return [3]string{local, "->", remote}
}
