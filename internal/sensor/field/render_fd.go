package field

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// resolvedFD is "<f>/etc/passwd" for a descriptor, AT_FDCWD for the current
// directory, and the error's name for one that could not be made.
func resolvedFD(c *Context, dst []byte, p *slotParam) []byte {
	fd := c.Event.Int(p.slot)
	switch {
	case fd == unix.AT_FDCWD:
		return append(dst, "AT_FDCWD"...)
	case fd < 0:
		return append(dst, errnoName(fd)...)
	}
	f := c.fileInfo()
	if f == nil || (p.slot != c.Event.Info().FD && !sharesFile[c.Event.Kind()]) {
		if strings.HasSuffix(p.Name, "dirfd") || strings.HasSuffix(p.Name, "dir") || p.Name == "mountfd" {
			if s, ok := c.base(p.paths); ok {
				return append(append(dst, "<d>"...), trimSlash(s)...)
			}
		}
		return dst
	}
	dst = append(dst, '<', typeChar(f))
	if proto := protoChars[f.L4Proto]; proto != 0 && (f.Type == event.FDIPv4 || f.Type == event.FDIPv6) {
		dst = append(dst, proto)
	}
	dst = append(dst, '>')
	name, _ := fdName(c)
	return append(dst, name...)
}

var protoChars = [256]byte{unix.IPPROTO_TCP: 't', unix.IPPROTO_UDP: 'u', unix.IPPROTO_ICMP: 'i', unix.IPPROTO_RAW: 'r'}

// sharesFile says of which kinds all descriptors are the same sort of thing.
var sharesFile = [event.NumKinds]bool{
	event.KindDup: true, event.KindDup2: true, event.KindDup3: true,
	event.KindPipe: true, event.KindPipe2: true, event.KindSocketpair: true,
}

// base is the directory that the nth path of the event is relative to, in the
// view that is asked for.
func (c *Context) base(n int) (string, bool) {
	views, ok := c.bases(n)
	return views.At(c.wanted().base), ok
}

func (c *Context) bases(n int) (event.Views, bool) {
	slot := c.Event.Info().Base
	if n == 1 {
		slot = c.Event.Info().Base2
	}
	if slot < 0 || n > 1 {
		return "", false
	}
	s, ok := c.Event.Str(slot)
	return event.Views(s), ok
}

func trimSlash(s string) string {
	if len(s) > 1 {
		return strings.TrimSuffix(s, "/")
	}
	return s
}

// resolvedPath is the absolute path of a relative one.
func resolvedPath(c *Context, dst []byte, p *slotParam) []byte {
	path, ok := c.Event.Str(p.slot)
	if ok && c.name > 0 {
		s, _ := c.absolute(p)
		return append(dst, s...)
	}
	if !ok || path == "" || path[0] == '/' {
		return dst
	}
	return appendJoined(dst, c.baseOf(p), path)
}

// unknownBase stands for a directory that is not known, as Falco has it.
const unknownBase = "<UNKNOWN>"

// baseOf is the directory that a relative path is relative to.
func (c *Context) baseOf(p *slotParam) string {
	info := c.Event.Info()
	if (p.paths == 0 && info.Base < 0) || (p.paths == 1 && info.Base2 < 0) || p.paths > 1 {
		return c.Proc.CWD // the event does not say: it is the current directory
	}
	if s, ok := c.base(p.paths); ok {
		return s
	}
	return unknownBase
}
