package probe

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// program32 is a program for i386 in the making: code that calls the kernel,
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

// call appends "mov eax, nr; mov ebx, ...; int 0x80".
func (p *program32) call(nr int, args ...any) {
	mov := []byte{0xb8, 0xbb, 0xb9, 0xba, 0xbe, 0xbf} // eax ebx ecx edx esi edi
	for i, a := range append([]any{nr}, args...) {
		p.code = append(p.code, mov[i])
		switch a := a.(type) {
		case int:
			p.code = binary.LittleEndian.AppendUint32(p.code, uint32(a))
		case pointer:
			p.fixups = append(p.fixups, len(p.code))
			p.code = binary.LittleEndian.AppendUint32(p.code, uint32(a.offset))
		}
	}
	p.code = append(p.code, 0xcd, 0x80)
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
	elf = le.AppendUint16(elf, 3) // i386
	for _, w := range []uint32{1, base32 + header32, 52, 0, 0} {
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

// 32-bit tasks have other syscall numbers, narrow arguments, and socketcall.
func TestCompat(t *testing.T) {
	needBPF(t)
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "file"), "x")
	exe := filepath.Join(dir, "prog")

	var p program32
	path, relative := p.str(file), p.str("made")
	socketArgs := p.words(unix.AF_INET, unix.SOCK_STREAM, 0)
	addr := p.bytes(sockaddr4(loopback4, 1))
	connectArgs := p.words(5, uint32(addr.offset), 16)
	text := p.str("hello")
	iov := p.words(uint32(text.offset), 5)
	p.call(436, 3, -1, 0)                                  // close_range: whatever was inherited
	p.call(295, unix.AT_FDCWD, path, unix.O_RDONLY, 0)     // openat: 3
	p.call(5, relative, unix.O_WRONLY|unix.O_CREAT, 0o640) // open: 4
	p.call(102, 1, socketArgs)                             // socketcall socket: 5
	p.call(102, 3, connectArgs)                            // socketcall connect
	p.call(146, 4, iov, 1)                                 // writev
	p.call(213, 0)                                         // setuid32
	p.call(102, 3, 8)                                      // socketcall with arguments that are not there
	p.call(1, 0)                                           // exit
	p.build(t, exe, connectArgs.offset+4, iov.offset)

	before := counters(t)
	cmd := exec.Command(exe)
	cmd.Dir = dir
	tr := trace(t, []string{"openat", "open", "socket", "connect", "writev", "setuid", "setuid32", "execve"}, func() {
		if err := cmd.Run(); err != nil {
			t.Skipf("no 32-bit programs here: %v", err)
		}
	})
	pid := cmd.Process.Pid
	dev, ino := inode(t, file)
	one := func(k event.Kind, syscall string) map[string]string {
		t.Helper()
		all := tr.of(k, pid)
		if len(all) == 0 {
			t.Fatalf("no %s", k)
		}
		h := all[0].Header()
		if h.Flags&event.Compat == 0 || event.ID(h.Syscall).String() != syscall {
			t.Errorf("%s: flags %d, syscall %s", k, h.Flags, event.ID(h.Syscall))
		}
		return all[0].fields()
	}
	f := one(event.KindOpenat, "openat")
	for name, want := range map[string]string{"fd": "3", "dirfd": "-100", "name": quote(file), "flags": "1", "dev": dev, "ino": ino, "file": regular(unlessGiven(t, file))} {
		if f[name] != want {
			t.Errorf("openat %s = %s, want %s", name, f[name], want)
		}
	}
	f = one(event.KindOpen, "open")
	if f["fd"] != "4" || f["name"] != `"made"` || f["base"] != quote(dir) || f["mode"] != num(0o640) {
		t.Errorf("open %v", f)
	}
	f = one(event.KindSocket, "socket")
	if f["fd"] != "5" || f["domain"] != "2" || f["type"] != "1" {
		t.Errorf("socket %v", f)
	}
	f = one(event.KindConnect, "connect")
	if f["fd"] != "5" || f["addr"] != "127.0.0.1:1" || f["res"] != num(-int64(unix.ECONNREFUSED)) {
		t.Errorf("connect %v", f)
	}
	f = one(event.KindWritev, "writev")
	if f["res"] != "5" || f["data"] != `"hello"` || f["size"] != "5" || f["file"] != regular(dir+"/made") {
		t.Errorf("writev %v", f)
	}
	if f = one(event.KindSetuid, "setuid32"); f["uid"] != "0" {
		t.Errorf("setuid %v", f)
	}
	if after := counters(t); after.PageFault.Total() != before.PageFault.Total()+1 {
		t.Errorf("%d page faults before, %d after", before.PageFault.Total(), after.PageFault.Total())
	}
	execs := tr.of(event.KindExecve, pid)
	if len(execs) != 1 || execs[0].fields()["trusted_exepath"] != quote(exe) {
		t.Errorf("%d execs", len(execs))
	}
}
