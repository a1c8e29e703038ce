package capture

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Writer makes a capture file: a machine, its lists of processes, descriptors
// and users, then the events of the probe, with the newest event codes.
type Writer struct {
	w     io.Writer
	buf   []byte
	err   error
	order byteOrder

	std   encoded // of the event under way
	clone event.Builder
	chdir event.Builder
	known map[int64]Process // by pid
}

// byteOrder is that of the file: this machine's, but in tests.
type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// NewWriter begins a capture made on machine m.
func NewWriter(w io.Writer, m Machine) *Writer { return newWriter(w, m, binary.NativeEndian) }

func newWriter(w io.Writer, m Machine, order byteOrder) *Writer {
	c := &Writer{w: w, order: order, known: make(map[int64]Process)}
	le := c.order
	b := le.AppendUint32(c.begin(), sectionMagic)
	b = le.AppendUint16(le.AppendUint16(b, newestMajor), 2)
	b = le.AppendUint64(b, ^uint64(0)) // length not known
	c.block(blockSection, b)

	b = le.AppendUint64(le.AppendUint64(le.AppendUint32(c.begin(), m.CPUs), m.MemoryBytes), m.MaxPID)
	var host [128]byte
	copy(host[:127], m.Hostname)
	b = le.AppendUint64(append(b, host[:]...), m.BootTime)
	c.block(blockMachine, append(b, make([]byte, 24)...))
	return c
}

// Err is the first error of writing.
func (c *Writer) Err() error { return c.err }

func (c *Writer) begin() []byte {
	return append(c.buf[:0], make([]byte, blockHeaderLen)...)
}

// block writes the block whose body follows the room for a header in b.
func (c *Writer) block(typ uint32, b []byte) {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	le := c.order
	b = le.AppendUint32(b, uint32(len(b)+4))
	le.PutUint32(b, typ)
	le.PutUint32(b[4:], uint32(len(b)))
	c.buf = b
	if c.err == nil {
		if _, err := c.w.Write(b); err != nil {
			c.err = fmt.Errorf("write capture: %w", err)
		}
	}
}

// Process is an entry of the list of processes. TID is PID for all but
// additional threads.
type Process struct {
	TID, PID, PTID, SID, VPGID, PGID  int64
	VTID, VPID                        int64
	Comm, Exe, ExePath, CWD, Root     string
	Args, Env, Cgroups                string // NUL-separated, each with its NUL
	UID, GID, LoginUID, TTY           uint32
	FDLimit                           uint64
	Inheritable, Permitted, Effective uint64
	ExeIno, ExeCTime, ExeMTime        uint64
	PIDNSStart                        uint64
	Writable, UpperLayer              bool
}

// Processes writes a list of processes.
func (c *Writer) Processes(list ...Process) {
	b := c.begin()
	for i := range list {
		b = c.sized(b, true, func(b []byte) []byte { return c.process(b, &list[i]) })
	}
	c.block(blockProcess9, b)
}

// sized appends the output of f, preceded by its length.
func (c *Writer) sized(b []byte, inclusive bool, f func([]byte) []byte) []byte {
	at := len(b)
	b = f(append(b, 0, 0, 0, 0))
	n := len(b) - at
	if !inclusive {
		n -= 4
	}
	c.order.PutUint32(b[at:], uint32(n))
	return b
}

func (c *Writer) str(b []byte, s string) []byte {
	return append(c.order.AppendUint16(b, uint16(len(s))), s...)
}

func (c *Writer) process(b []byte, p *Process) []byte {
	le := c.order
	for _, n := range []int64{p.TID, p.PID, p.PTID, p.SID, p.VPGID} {
		b = le.AppendUint64(b, uint64(n))
	}
	for _, s := range []string{p.Comm, p.Exe, p.ExePath, p.Args, p.CWD} {
		b = c.str(b, s)
	}
	b = le.AppendUint64(b, p.FDLimit)
	for _, n := range []uint32{0, p.UID, p.GID, 0, 0, 0} { // flags, ids, memory
		b = le.AppendUint32(b, n)
	}
	b = c.str(append(b, make([]byte, 16)...), p.Env) // page faults
	b = c.str(le.AppendUint64(le.AppendUint64(b, uint64(p.VTID)), uint64(p.VPID)), p.Cgroups)
	b = c.str(b, p.Root)
	b = le.AppendUint32(le.AppendUint64(b, p.PIDNSStart), p.TTY)
	b = append(le.AppendUint32(b, p.LoginUID), boolByte(p.Writable))
	for _, n := range []uint64{p.Inheritable, p.Permitted, p.Effective} {
		b = le.AppendUint64(b, n)
	}
	b = append(b, boolByte(p.UpperLayer))
	for _, n := range []uint64{p.ExeIno, p.ExeCTime, p.ExeMTime} {
		b = le.AppendUint64(b, n)
	}
	return le.AppendUint64(append(b, 0, 0), uint64(p.PGID)) // from memfd, lower layer
}

func boolByte(on bool) byte {
	if on {
		return 1
	}
	return 0
}

// FD is a descriptor in the list of those that a process has open: a file or
// directory with its path, or a connection.
type FD struct {
	Num       int64
	Ino       uint64
	Path      string
	Directory bool
	// Local and Remote are the ends of a TCP connection.
	Local, Remote netip.AddrPort
}

// FDs writes the descriptors of a process.
func (c *Writer) FDs(pid int64, list ...FD) {
	b := c.order.AppendUint64(c.begin(), uint64(pid))
	for i := range list {
		b = c.sized(b, true, func(b []byte) []byte { return c.fd(b, &list[i]) })
	}
	c.block(blockFDs2, b)
}

func (c *Writer) fd(b []byte, f *FD) []byte {
	le := c.order
	b = le.AppendUint64(le.AppendUint64(b, uint64(f.Num)), f.Ino)
	switch {
	case f.Local.IsValid():
		typ := byte(scapIPv4)
		if !f.Local.Addr().Is4() {
			typ = scapIPv6
		}
		b = append(b, typ)
		b = append(append(b, f.Local.Addr().AsSlice()...), f.Remote.Addr().AsSlice()...)
		const tcp = 2
		return append(le.AppendUint16(le.AppendUint16(b, f.Local.Port()), f.Remote.Port()), tcp)
	case f.Directory:
		return c.str(append(b, scapDirectory), f.Path)
	}
	b = le.AppendUint32(append(b, scapFileV2), 0)
	return le.AppendUint32(c.str(b, f.Path), 0) // device
}

// Interface is an address of the machine that a capture was made on.
type Interface struct {
	Name   string
	Prefix netip.Prefix
}

// Types of interfaces.
const (
	if4 = 1
	if6 = 2
)

// Interfaces writes the machine's addresses, which our reader makes no use of.
func (c *Writer) Interfaces(list ...Interface) {
	b := c.begin()
	for _, i := range list {
		b = c.sized(b, false, func(b []byte) []byte {
			le := c.order
			a := i.Prefix.Addr()
			typ := uint16(if4)
			if !a.Is4() {
				typ = if6
			}
			b = le.AppendUint16(le.AppendUint16(b, typ), uint16(len(i.Name)))
			b = append(b, a.AsSlice()...)
			mask := make([]byte, a.BitLen()/8)
			for n := range i.Prefix.Bits() {
				mask[n/8] |= 0x80 >> (n % 8)
			}
			b = append(append(b, mask...), make([]byte, len(mask)+8)...) // broadcast, speed
			return append(b, i.Name...)
		})
	}
	c.block(blockInterface2, b)
}

// Widths of numbers in bytes, by the name of their table of values; others go
// by type (libs' event_table.c).
var widths = map[string]int{
	"shutdown_how": 1, "sockopt_levels": 1, "sockopt_options": 1, "rlimit_resources": 1, "fcntl_commands": 1,
	"lseek_whence": 1, "quotactl_types": 1, "quotactl_quota_fmts": 1, "quotactl_dqi_flags": 1,
	"futex_operations": 2, "semop_flags": 2, "semctl_commands": 2, "ptrace_requests": 2,
	"io_uring_register_opcodes": 2, "creat_flags": 2, "quotactl_cmds": 2,
}

func width(k event.Kind, p event.Param) int {
	if n := widths[p.Table]; n != 0 {
		return n
	}
	if p.Table == "file_flags" {
		switch k {
		case event.KindInotifyInit1, event.KindEventfd2, event.KindSignalfd4:
			return 2
		}
	}
	switch p.Type {
	case event.Int8, event.Uint8, event.SigType:
		return 1
	case event.Int16, event.Uint16, event.SyscallName:
		return 2
	case event.Int32, event.Uint32, event.UID, event.GID, event.Flags, event.Enum, event.Mode, event.SigSet:
		return 4
	}
	return 8
}
