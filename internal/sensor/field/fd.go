package field

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// fdFields are those of the event's descriptor, but for sockets'
// (fd_socket.go).
func fdFields() []Field {
	return []Field{
		integer("fd.num", AtEvent, "Number of the descriptor; negative if the call failed to create it.", func(c *Context) (int64, bool) {
			slot := c.Event.Info().FD
			if slot < 0 {
				return 0, false
			}
			if dups[c.Event.Kind()] && c.Event.Int(slot) < 0 {
				slot++ // oldfd: the descriptor that could not be copied
			}
			return max(c.Event.Int(slot), minFD(c)), true
		}).inKernel(),
		str("fd.type", AtEvent, "Type of the descriptor: file, directory, ipv4, ipv6, unix, pipe, event, signalfd, eventpoll, inotify, timerfd, netlink, bpf, userfaultfd, io_uring, memfd, pidfd.", func(c *Context) (string, bool) {
			f := c.fileInfo()
			if f == nil {
				return "", false
			}
			return typeName(c, f), true
		}).inKernel(),
		str("fd.typechar", AtEvent, "Type of the descriptor as one character: f file, d directory, 4 and 6 IP sockets, u unix socket, p pipe, e event, s signalfd, l eventpoll, i inotify, t timerfd, n netlink, b bpf, m memfd, o other.", fdTypeChar).inKernel(),
		str("fd.name", AtEvent, "Name of the descriptor: absolute path of a file; client:port->server:port of a connection; address:port of a server. For opens, the path in the call, made absolute.", fdName).inKernel(),
		str("fd.directory", AtEvent, "Directory of the file. For a directory, its own path.", fdDirectory).inKernel(),
		str("fd.filename", AtEvent, "Name of the file without its directory.", fdFilename).inKernel(),
		str("fd.uid", AtEvent, "Thread id and number of the descriptor, one after the other.", func(c *Context) (string, bool) {
			slot := c.Event.Info().FD
			if slot < 0 {
				return "", false
			}
			start := len(c.buf)
			c.buf = strconv.AppendUint(c.buf, uint64(c.Event.Header().TID), 10)
			c.buf = appendInt(c.buf, c.Event.Int(slot))
			return c.built(start), true
		}),
		inContainer("fd.containername", "Container id and fd.name, separated by a colon.", fdName),
		inContainer("fd.containerdirectory", "Container id and fd.directory, separated by a colon.", fdDirectory),
		boolean("fd.name_changed", AtEvent, "True if the event changes the name of the descriptor: bind, connect, and UDP messages to or from another address.", nameChanged).inKernel(),
		ofFile("fd.dev", "Number of the device that the file is on, in hexadecimal.", func(f *event.FileInfo) int64 { return int64(int32(f.Dev)) }).with(Hex),
		// The kernel's new_encode_dev(): 12 bits of major in the middle of 20 of minor.
		ofFile("fd.dev.major", "Major number of the device that the file is on.", func(f *event.FileInfo) int64 { return int64(f.Dev >> 8 & 0xfff) }),
		ofFile("fd.dev.minor", "Minor number of the device that the file is on.", func(f *event.FileInfo) int64 { return int64(f.Dev&0xff | f.Dev>>12&0xfff00) }),
		ofFile("fd.ino", "Inode number of the file.", func(f *event.FileInfo) int64 { return int64(f.Ino) }),
		str("fd.nameraw", AtEvent, "As fd.name, but with the path of an open as in the call, which may be relative.", fdNameRaw).inKernel(),
		typesField(),
		fileFlag("fd.is_upper_layer", "True if the file is in the upper layer of an overlayfs.", event.FileUpperLayer),
		fileFlag("fd.is_lower_layer", "True if the file is in a lower layer of an overlayfs.", event.FileLowerLayer),
	}
}

var dups = [event.NumKinds]bool{event.KindDup: true, event.KindDup2: true, event.KindDup3: true}

// minFD is the lower bound of fd.num: -1 if the event creates a descriptor, so
// that every failure reads -1; otherwise AT_FDCWD, which passes unchanged.
func minFD(c *Context) int64 {
	if c.Event.Info().Traits&event.CreatesFD != 0 {
		return -1
	}
	return unix.AT_FDCWD
}

// fdTypes are fd.type and fd.typechar by type of descriptor.
var fdTypes = [...]struct {
	name string
	char byte
}{
	event.FDUnknown: {na, 'o'}, event.FDFile: {"file", 'f'}, event.FDDirectory: {"directory", 'd'},
	event.FDIPv4: {"ipv4", '4'}, event.FDIPv6: {"ipv6", '6'}, event.FDUnix: {"unix", 'u'},
	event.FDPipe: {"pipe", 'p'}, event.FDEvent: {"event", 'e'}, event.FDSignal: {"signalfd", 's'},
	event.FDEventPoll: {"eventpoll", 'l'}, event.FDInotify: {"inotify", 'i'}, event.FDTimer: {"timerfd", 't'},
	event.FDNetlink: {"netlink", 'n'}, event.FDBPF: {"bpf", 'b'}, event.FDUserfault: {"userfaultfd", 'u'},
	event.FDIOURing: {"io_uring", 'r'}, event.FDMemfd: {"memfd", 'm'}, event.FDPID: {"pidfd", 'P'},
	event.FDPacket: {na, 'o'}, event.FDOtherSocket: {na, 'o'},
}

func typeName(c *Context, f *event.FileInfo) string {
	t := f.Type
	if isTmpfile(c) {
		t = event.FDDirectory
	}
	return nameOfType(t)
}

func nameOfType(t event.FDType) string {
	if int(t) >= len(fdTypes) {
		return na
	}
	return fdTypes[t].name
}

func typeChar(f *event.FileInfo) byte {
	if int(f.Type) >= len(fdTypes) {
		return 'o'
	}
	return fdTypes[f.Type].char
}

// isTmpfile says whether the event opens a file without a name: Falco takes
// it for the directory that is in its place. Directories cannot be opened for
// writing, which tells the two apart: both have the flag.
func isTmpfile(c *Context) bool {
	return isOpen(c.Event.Kind()) && openFlags(c)&(event.OpenTmpfile|event.OpenWrite) == event.OpenTmpfile|event.OpenWrite
}

func fdTypeChar(c *Context) (string, bool) {
	if f := c.fileInfo(); f != nil {
		char := typeChar(f)
		if isTmpfile(c) {
			char = 'd'
		}
		return chars[char : char+1], true
	}
	info := c.Event.Info()
	switch k := c.Event.Kind(); {
	case isOpen(k):
		return "f", true
	case k == event.KindSocket || k == event.KindAccept || k == event.KindAccept4:
		return "4", true // Falco's guess for one that could not be made
	case info.Traits&(event.CreatesFD|event.UsesFD) != 0:
		return "o", true
	}
	return "", false
}

// chars has every ASCII character at its own place.
var chars = func() string {
	var b [128]byte
	for i := range b {
		b[i] = byte(i)
	}
	return string(b[:])
}()

func inContainer(name, doc string, get func(*Context) (string, bool)) Field {
	return str(name, AtEvent, doc, func(c *Context) (string, bool) {
		s, ok := get(c)
		if !ok {
			return "", false
		}
		return c.keep(append(append(append(c.buf, c.Proc.Container.ID...), ':'), s...)), true
	})
}

func ofFile(name, doc string, get func(*event.FileInfo) int64) Field {
	return integer(name, AtEvent, doc, func(c *Context) (int64, bool) {
		f := c.fileInfo()
		if f == nil {
			return 0, false
		}
		return get(f), true
	})
}

func fileFlag(name, doc string, flag event.FileFlags) Field {
	return boolean(name, AtEvent, doc, func(c *Context) (uint64, bool) {
		f := c.fileInfo()
		if f == nil {
			return 0, false
		}
		return b2u(f.Flags&flag != 0), true
	})
}

func fdDirectory(c *Context) (string, bool) {
	f := c.fileInfo()
	if f == nil && !isOpen(c.Event.Kind()) {
		return "", false
	}
	name, ok := fdName(c)
	switch {
	case !ok:
		return "", false
	case f == nil, f.Type == event.FDFile:
		return dirname(name), true
	case f.Type == event.FDDirectory:
		return name, true
	}
	return "", false
}

func fdFilename(c *Context) (string, bool) {
	f := c.fileInfo()
	if f == nil || f.Type != event.FDFile {
		return "", false
	}
	name, ok := fdName(c)
	return basename(name), ok
}

func dirname(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

func basename(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 && i < len(path)-1 {
		return path[i+1:]
	}
	return "/"
}
