package event

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unsafe"
)

// Header is the fixed start of every event; the C side is struct event_header
// in probe/bpf/wire.h, and a test compares the two through BTF.
//
//	0        8     12    14   15   16    24    28    32    36    40    44
//	| time   | len | kind|slots|flag| res | tid | pid | ppid| uid | gid |
//	44       48       56       60      64     68    70      72      80      84   88
//	| login  | cgroup | mntns  | pidns | lost | cpu | sysno | start | vtid  | exec_id |
//	88
//	| slot 0 (u64) | slot 1 | ... | tail bytes ... |
//
// A slot holds a number, or, for a parameter that travels in the tail, its
// place: offset from the start of the event in the low 32 bits, length in the
// high 32 bits. Slot value 0 of such a parameter means that it is missing.
// All numbers have the byte order of the machine. Len covers header, slots and
// tail and is a multiple of 8.
type Header struct {
	Time     uint64 // ns of CLOCK_BOOTTIME (captures: ns since the epoch)
	Len      uint32
	Kind     Kind
	NumSlots uint8
	Flags    HeaderFlags
	Res      int64 // return value; 0 for kinds without one
	TID      uint32
	PID      uint32 // thread group id
	PPID     uint32 // thread group id of the real parent
	UID      uint32 // effective
	GID      uint32 // effective
	LoginUID uint32 // 0xffffffff: not set
	Cgroup   uint64 // id in the default (v2) hierarchy
	MntNS    uint32 // inode of the mount namespace
	PIDNS    uint32 // inode of the pid namespace
	Lost     uint32 // events lost on this CPU's ring since the last delivered one
	CPU      uint16
	Syscall  uint16 // ID of the syscall; NoSyscall if absent
	Start    uint64 // boot-time ns at which the thread group's leader started: with PID, the identity of the process
	VTID     uint32 // TID in its own pid namespace
	ExecID   uint32 // low half of task->self_exec_id: changes at every exec
}

// HeaderSize is the length of Header in bytes.
const HeaderSize = 88

// MaxLen bounds an event: args and env of 4096 bytes each, cgroups, paths.
const MaxLen = 64 << 10

// FileInfo is the file behind a descriptor: the decoded form of a File
// parameter.
//
//	0    1       2       3       4        6       8     16    20
//	| type | flags | l4proto | family | sport | dport | ino | dev | data ...
//
// For sockets of family AF_INET and AF_INET6, data is the local address then
// the remote address (4 or 16 bytes each), sport the local and dport the
// remote port. For AF_UNIX, data is the local path, sport bytes, a NUL, the
// remote path (abstract names start with '@'). For everything else data are Views: first
// the resolved absolute path in the mount namespace of the process; empty when
// it is the same as the path given in the event.
type FileInfo struct {
	Type    FDType
	Flags   FileFlags
	L4Proto uint8 // IPPROTO_*
	Family  uint8 // AF_*
	SPort   uint16
	DPort   uint16
	Ino     uint64
	Dev     uint32
	data    string
}

// FileInfoSize is the length of the fixed part of an encoded FileInfo.
const FileInfoSize = 20

// Path is the resolved path of a file, directory or named object.
func (f *FileInfo) Path() string {
	if f.Type == FDUnix { // two names, see UnixPaths
		return f.data
	}
	return f.Views().At(0)
}

// Views are all names of the file.
func (f *FileInfo) Views() Views { return Views(f.data) }

// Addrs are the local and remote address of an IP socket; the zero Addr when
// the socket has none.
func (f *FileInfo) Addrs() (local, remote netip.Addr) {
	n := 4
	if f.Type == FDIPv6 {
		n = 16
	}
	if (f.Type != FDIPv4 && f.Type != FDIPv6) || len(f.data) < 2*n {
		return netip.Addr{}, netip.Addr{}
	}
	return addr(f.data[:n]), addr(f.data[n : 2*n])
}

// UnixPaths are the local and remote path of a unix socket. Abstract names may
// contain NULs: SPort is the length of the local one, where it is known.
func (f *FileInfo) UnixPaths() (local, remote string) {
	if n := int(f.SPort); n > 0 && n < len(f.data) {
		return f.data[:n], f.data[n+1:]
	}
	local, remote, _ = strings.Cut(f.data, "\x00")
	return local, remote
}

// OpenFDs are the descriptors that the process had open at the time of the
// event; the C side is struct open_fds in probe/bpf/wire.h.
type OpenFDs struct {
	Types uint64         // of all descriptors; bit: FDType, or moreFDs
	Of    [toldFDs]uint8 // FDType of the first descriptors
}

const toldFDs = 64

// All are the types of all open descriptors, as bits; false if there may be
// others.
func (o *OpenFDs) All() (types uint64, ok bool) { return o.Types &^ moreFDs, o.Types&moreFDs == 0 }

// At is the type of descriptor fd, if it is open. It is not known of high ones.
func (o *OpenFDs) At(fd int64) (t FDType, open, known bool) {
	if fd < 0 || fd >= toldFDs {
		return 0, false, fd < 0
	}
	return FDType(o.Of[fd]), o.Of[fd] != closedFD, true
}

func addr(s string) netip.Addr {
	if len(s) == 4 {
		return netip.AddrFrom4([4]byte([]byte(s)))
	}
	return netip.AddrFrom16([16]byte([]byte(s)))
}

// errShort is returned for any record whose lengths do not add up.
var errShort = errors.New("event is shorter than its header says")

// View reads one event in place. The zero View is empty; Reset makes it look
// at an event.
type View struct {
	h    *Header
	info *Info
	b    []byte
}

// Reset makes v look at the event at the start of b, which must be 8-byte
// aligned, after checking that every length in it holds. v borrows b.
func (v *View) Reset(b []byte) error {
	if len(b) < HeaderSize {
		return errShort
	}
	h := (*Header)(unsafe.Pointer(unsafe.SliceData(b)))
	if int(h.Kind) >= len(kinds) {
		return fmt.Errorf("event of unknown kind %d", h.Kind)
	}
	info := &kinds[h.Kind]
	slots := info.Slots()
	if int(h.Len) > len(b) || int(h.NumSlots) != slots || int(h.Len) < HeaderSize+8*slots {
		return errShort
	}
	v.h, v.info, v.b = h, info, b[:h.Len]
	for m, i := info.variable, 0; m != 0; m, i = m>>1, i+1 {
		if m&1 == 0 {
			continue
		}
		s := v.Uint(i)
		off, n := uint32(s), uint32(s>>32)
		if s != 0 && (off < HeaderSize || off > h.Len || n > h.Len-off) {
			v.h, v.info, v.b = nil, nil, nil
			return fmt.Errorf("%s event: parameter %d outside the event", info.Name, i)
		}
	}
	return nil
}

// Header returns the event's header, in place.
func (v *View) Header() *Header { return v.h }

// Kind is the event's kind.
func (v *View) Kind() Kind { return v.h.Kind }

// Info describes the event's kind.
func (v *View) Info() *Info { return v.info }

// Raw is the whole event as it travels.
func (v *View) Raw() []byte { return v.b }

// Uint is the number in slot i. Like all accessors it panics when the kind
// has no such slot.
func (v *View) Uint(i int) uint64 {
	return *(*uint64)(unsafe.Pointer(unsafe.SliceData(v.b[HeaderSize+8*i : HeaderSize+8*i+8])))
}

// Int is the signed number in slot i.
func (v *View) Int(i int) int64 { return int64(v.Uint(i)) }

// Bytes is the variable parameter in slot i; false if it is missing.
func (v *View) Bytes(i int) ([]byte, bool) {
	s := v.Uint(i)
	if s == 0 {
		return nil, false
	}
	off, n := uint32(s), uint32(s>>32)
	return v.b[off : off+n : off+n], true
}

// Str is Bytes as a string that borrows the event.
func (v *View) Str(i int) (string, bool) {
	b, ok := v.Bytes(i)
	return unsafe.String(unsafe.SliceData(b), len(b)), ok
}

// FileInfo decodes the File parameter in slot i; false if it is missing or
// too short.
func (v *View) FileInfo(i int, f *FileInfo) bool {
	s, ok := v.Str(i)
	if !ok || len(s) < FileInfoSize {
		return false
	}
	p := unsafe.Pointer(unsafe.StringData(s))
	*f = FileInfo{
		Type: FDType(s[0]), Flags: FileFlags(s[1]), L4Proto: s[2], Family: s[3],
		SPort: load[uint16](p, 4), DPort: load[uint16](p, 6),
		Ino: load[uint64](p, 8), Dev: load[uint32](p, 16),
		data: s[FileInfoSize:],
	}
	return true
}

// OpenFDs are the open descriptors; false if the event does not tell them.
func (v *View) OpenFDs() (*OpenFDs, bool) {
	n := len(v.b) - openFDsSize
	if v.h.Flags&hasOpenFDs == 0 || n < HeaderSize+8*v.info.Slots() {
		return nil, false
	}
	return (*OpenFDs)(unsafe.Pointer(&v.b[n])), true
}

const openFDsSize = int(unsafe.Sizeof(OpenFDs{}))

// CWD is the working directory of the event's process, if no event has told of
// it since it changed: the kernel sends no call for this alone. It is there once
// for each change, behind the parameters:
//
//	| path | 0 to 7 bytes | length of path (u64) | OpenFDs, if there are any |
func (v *View) CWD() (string, bool) {
	if v.h.Flags&hasCWD == 0 {
		return "", false
	}
	end, begin := len(v.b)-8, HeaderSize+8*v.info.Slots()
	if v.h.Flags&hasOpenFDs != 0 {
		end -= openFDsSize
	}
	if end < begin {
		return "", false
	}
	n := *(*uint64)(unsafe.Pointer(&v.b[end]))
	if n > MaxLen { // of a recording that is not ours
		return "", false
	}
	at := end - int(n+7)&^7
	if at < begin {
		return "", false
	}
	return unsafe.String(&v.b[at], n), true
}

func load[T uint16 | uint32 | uint64](p unsafe.Pointer, off uintptr) T {
	return *(*T)(unsafe.Add(p, off))
}
