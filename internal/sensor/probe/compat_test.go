//go:build amd64 || arm64

package probe

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// program32 is a program for 32-bit tasks in the making: code that calls the kernel,
// and the data it points to behind it.
type program32 struct {
	code, data []byte
	fixups     []int // places in code that hold offsets into data
}

const (
	base32   = 0x08048000
	header32 = 52 + 32
)

// pointer is an argument: the address of data.
type pointer struct{ offset int }

func (p *program32) bytes(b []byte) pointer {
	at := pointer{len(p.data)}
	p.data = append(p.data, b...)
	for len(p.data)%4 != 0 {
		p.data = append(p.data, 0)
	}
	return at
}

func (p *program32) str(s string) pointer { return p.bytes(append([]byte(s), 0)) }

func (p *program32) words(w ...uint32) pointer {
	var b []byte
	for _, n := range w {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return p.bytes(b)
}

// address is where data will be, once no more code is added.
func (p *program32) address(at pointer) uint32 {
	return uint32(base32 + header32 + len(p.code) + at.offset)
}

// build writes the program as an ELF file; the addresses in patch, offsets of
// words in data that hold offsets into data, are made real.
func (p *program32) build(t *testing.T, path string, patch ...int) {
	t.Helper()
	for _, at := range p.fixups {
		off := binary.LittleEndian.Uint32(p.code[at:])
		binary.LittleEndian.PutUint32(p.code[at:], p.address(pointer{int(off)}))
	}
	for _, at := range patch {
		off := binary.LittleEndian.Uint32(p.data[at:])
		binary.LittleEndian.PutUint32(p.data[at:], p.address(pointer{int(off)}))
	}
	le := binary.LittleEndian
	elf := append([]byte{0x7f, 'E', 'L', 'F', 1, 1, 1}, make([]byte, 9)...)
	elf = le.AppendUint16(elf, 2) // executable
	elf = le.AppendUint16(elf, machine32)
	for _, w := range []uint32{1, base32 + header32, 52, 0, flags32} {
		elf = le.AppendUint32(elf, w)
	}
	for _, h := range []uint16{52, 32, 1, 0, 0, 0} {
		elf = le.AppendUint16(elf, h)
	}
	size := uint32(header32 + len(p.code) + len(p.data))
	for _, w := range []uint32{1, 0, base32, base32, size, size, 7, 0x1000} { // one segment: all of it
		elf = le.AppendUint32(elf, w)
	}
	if err := os.WriteFile(path, append(append(elf, p.code...), p.data...), 0o755); err != nil {
		t.Fatal(err)
	}
}

// 32-bit tasks have other syscall numbers, narrow arguments, and on i386
// socketcall.
func TestCompat(t *testing.T) {
	needBPF(t)
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "file"), "x")
	exe := filepath.Join(dir, "prog")

	var p program32
	path, relative := p.str(file), p.str("made")
	addr := p.bytes(sockaddr4(loopback4, 1))
	text := p.str("hello")
	iov := p.words(uint32(text.offset), 5)
	p.call(436, 3, -1, 0)                                      // close_range: whatever was inherited
	p.call(nr32.openat, unix.AT_FDCWD, path, unix.O_RDONLY, 0) // 3
	p.call(5, relative, unix.O_WRONLY|unix.O_CREAT, 0o640)     // open: 4
	patch, unreadable := p.connect(addr)                       // 5
	p.call(146, 4, iov, 1)                                     // writev
	p.pread64(3, text, 5, 7<<32|9)
	p.call(nr32.preadv, 3, iov, 1, 9, 7)
	p.call(213, 0) // setuid32
	p.call(1, 0)   // exit
	p.build(t, exe, append(patch, iov.offset)...)

	before := counters(t)
	cmd := exec.Command(exe)
	cmd.Dir = dir
	tr := trace(t, []string{"openat", "open", "socket", "connect", "writev", "pread64", "preadv", "setuid", "setuid32", "execve"}, func() {
		if err := cmd.Run(); err != nil {
			t.Skipf("no 32-bit programs here: %v", err)
		}
	})
	pid := cmd.Process.Pid
	dev, ino := inode(t, file)
	for _, tc := range []struct {
		kind    event.Kind
		syscall string
		want    fields
	}{
		{event.KindOpenat, "openat", fields{"fd": "3", "dirfd": "-100", "name": quote(file), "flags": "1", "dev": dev, "ino": ino, "file": regular(unlessGiven(t, file))}},
		{event.KindOpen, "open", fields{"fd": "4", "name": `"made"`, "base": quote(dir), "mode": num(0o640)}},
		{event.KindSocket, "socket", fields{"fd": "5", "domain": "2", "type": "1"}},
		{event.KindConnect, "connect", fields{"fd": "5", "addr": "127.0.0.1:1", "res": num(-int64(unix.ECONNREFUSED))}},
		{event.KindWritev, "writev", fields{"res": "5", "data": `"hello"`, "size": "5", "file": regular(dir + "/made")}},
		{event.KindPread, "pread64", fields{"res": "0", "size": "5", "pos": num(int64(7<<32 | 9))}},
		{event.KindPreadv, "preadv", fields{"res": "0", "size": "5", "pos": num(int64(7<<32 | 9))}},
		{event.KindSetuid, "setuid32", fields{"uid": "0"}},
	} {
		all := tr.of(tc.kind, pid)
		if len(all) == 0 {
			t.Fatalf("no %s", tc.syscall)
		}
		h := all[0].Header()
		if h.Flags&event.Compat == 0 || event.ID(h.Syscall).String() != tc.syscall {
			t.Errorf("%s: flags %d, syscall %s", tc.syscall, h.Flags, event.ID(h.Syscall))
		}
		got := all[0].fields()
		for name, want := range tc.want {
			if got[name] != want {
				t.Errorf("%s %s = %s, want %s", tc.syscall, name, got[name], want)
			}
		}
	}
	if after := counters(t); after.Drops.Of(event.DropPageFault) != before.Drops.Of(event.DropPageFault)+unreadable {
		t.Errorf("%d page faults before, %d after", before.Drops.Of(event.DropPageFault), after.Drops.Of(event.DropPageFault))
	}
	execs := tr.of(event.KindExecve, pid)
	if len(execs) != 1 || execs[0].fields()["trusted_exepath"] != quote(exe) {
		t.Errorf("%d execs", len(execs))
	}
}

// The filter of opens keeps its notes where an event begins: an event behind
// it says as before that it is of a 32-bit task.
func TestCompatOpenFilter(t *testing.T) {
	pr := loadOwn(t)
	dir := t.TempDir()
	wanted, other := write(t, filepath.Join(dir, "wanted"), "x"), write(t, filepath.Join(dir, "other"), "x")
	set, err := pathset.New([]pathset.Pattern{{Text: wanted, Kind: pathset.Exact, Mask: asked(^uint64(0))}})
	if err != nil {
		t.Fatal(err)
	}
	link, exe := filepath.Join(dir, "link"), filepath.Join(dir, "prog")
	if err := os.Symlink(wanted, link); err != nil { // both paths are looked at
		t.Fatal(err)
	}
	var p program32
	p.call(nr32.openat, unix.AT_FDCWD, p.str(other), unix.O_RDONLY, 0)
	p.call(nr32.openat, unix.AT_FDCWD, p.str(link), unix.O_RDONLY, 0)
	p.call(1, 0) // exit
	p.build(t, exe)

	tr := &tracer{t: t, probe: pr}
	tr.drain(now())
	if err := pr.SetInterest(Interest{Syscalls: ids("openat"), Opens: byFacts(set)}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	if err := cmd.Run(); err != nil {
		t.Skipf("no 32-bit programs here: %v", err)
	}
	tr.events = tr.drain(now())
	opens := tr.of(event.KindOpenat, cmd.Process.Pid)
	if len(opens) != 1 || opens[0].fields()["name"] != quote(link) || opens[0].Header().Flags&event.Compat == 0 {
		t.Errorf("%d opens, want one of %s with the flag of a 32-bit task", len(opens), link)
	}
}
