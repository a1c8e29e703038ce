package event

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestHeaderSize(t *testing.T) {
	if n := unsafe.Sizeof(Header{}); n != HeaderSize {
		t.Errorf("Header has %d bytes, HeaderSize says %d", n, HeaderSize)
	}
}

func TestRoundTrip(t *testing.T) {
	header := Header{
		Time: 12345, Res: -2, TID: 7, PID: 6, PPID: 5, UID: 1000, GID: 1001, LoginUID: 0xffffffff,
		Cgroup: 99, MntNS: 1, PIDNS: 2, Lost: 3, CPU: 1, Syscall: 42, Start: 77, VTID: 8, ExecID: 9,
	}
	slot := KindOpenat.Info().Slot
	var b Builder
	b.Start(KindOpenat, header)
	b.Int(slot("fd"), -2)
	b.Int(slot("dirfd"), -100)
	b.Str(slot("name"), "a/b")
	b.Uint(slot("flags"), 1)
	b.Bytes(slot("base"), []byte("/tmp"))
	b.File(slot("file"), FileInfo{Type: FDFile, Flags: FileUpperLayer, Ino: 5, Dev: 6}, []byte("/tmp/a/c"))

	var v View
	if err := v.Reset(b.Finish()); err != nil {
		t.Fatal(err)
	}
	header.Kind, header.NumSlots, header.Len = KindOpenat, uint8(KindOpenat.Info().Slots()), uint32(len(v.Raw()))
	if diff := cmp.Diff(&header, v.Header()); diff != "" {
		t.Error("header (-want +got):\n", diff)
	}
	if v.Int(slot("fd")) != -2 || v.Int(slot("dirfd")) != -100 || v.Uint(slot("flags")) != 1 {
		t.Error("numbers differ")
	}
	if s, ok := v.Str(slot("name")); s != "a/b" || !ok {
		t.Errorf("name = %q, %v", s, ok)
	}
	var f FileInfo
	if !v.FileInfo(v.Info().File, &f) || f.Path() != "/tmp/a/c" || f.Ino != 5 || f.Dev != 6 || f.Flags != FileUpperLayer {
		t.Errorf("file = %+v", f)
	}
	if len(v.Raw())%8 != 0 {
		t.Error("length is no multiple of 8")
	}
}

func TestMissing(t *testing.T) {
	var b Builder
	b.Start(KindOpen, Header{})
	b.Str(KindOpen.Info().Slot("base"), "")
	var v View
	if err := v.Reset(b.Finish()); err != nil {
		t.Fatal(err)
	}
	if _, ok := v.Str(KindOpen.Info().Slot("name")); ok {
		t.Error("a parameter that was not sent is not missing")
	}
	if s, ok := v.Str(KindOpen.Info().Slot("base")); !ok || s != "" {
		t.Error("an empty parameter is missing")
	}
}

// What follows the parameters is found whatever else is there, and lengths that
// do not hold are no directory.
func TestCWD(t *testing.T) {
	var b Builder
	with := func(flags HeaderFlags, behind ...any) (string, bool) {
		b.Start(KindDup, Header{Flags: flags})
		raw := slices.Clone(b.Finish())
		for _, part := range behind {
			switch part := part.(type) {
			case string:
				raw = append(raw, part...)
			case int:
				raw = binary.NativeEndian.AppendUint64(raw, uint64(part))
			case OpenFDs:
				raw = append(raw, make([]byte, openFDsSize)...)
			}
		}
		(*Header)(unsafe.Pointer(&raw[0])).Len = uint32(len(raw))
		var v View
		if err := v.Reset(raw); err != nil {
			t.Fatal(err)
		}
		return v.CWD()
	}
	b.Start(KindDup, Header{})
	b.CWD("/built")
	var v View
	if err := v.Reset(b.Finish()); err != nil {
		t.Fatal(err)
	}
	if got, ok := v.CWD(); got != "/built" || !ok {
		t.Errorf("built: %q, %v", got, ok)
	}
	for _, tt := range []struct {
		name   string
		flags  HeaderFlags
		behind []any
		want   string
		ok     bool
	}{
		{"none", 0, []any{"/a\x00\x00\x00\x00\x00\x00", 2}, "", false},
		{"a short one", hasCWD, []any{"/a......", 2}, "/a", true},
		{"of eight bytes", hasCWD, []any{"/bcdefgh", 8}, "/bcdefgh", true},
		{"of nine", hasCWD, []any{"/bcdefghi.......", 9}, "/bcdefghi", true},
		{"before open descriptors", hasCWD | hasOpenFDs, []any{"/a......", 2, OpenFDs{}}, "/a", true},
		{"empty", hasCWD, []any{0}, "", true},
		{"too long", hasCWD, []any{"/a......", 9}, "", false},
		{"much too long", hasCWD, []any{"/a......", -1}, "", false},
		{"too long in an event longer than any", hasCWD, []any{strings.Repeat("a", MaxLen+8), 1 << 40}, "", false},
		{"missing", hasCWD, nil, "", false},
		{"missing before open descriptors", hasCWD | hasOpenFDs, []any{OpenFDs{}}, "", false},
	} {
		if got, ok := with(tt.flags, tt.behind...); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %q, %v, want %q, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func TestSocketInfo(t *testing.T) {
	local, remote := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	file := KindConnect.Info().File
	var b Builder
	var v View
	var f FileInfo
	b.Start(KindConnect, Header{})
	b.File(file, FileInfo{Type: FDIPv4, SPort: 1, DPort: 2}, append(local.AsSlice(), remote.AsSlice()...))
	if err := v.Reset(b.Finish()); err != nil {
		t.Fatal(err)
	}
	if !v.FileInfo(file, &f) {
		t.Fatal("no file")
	}
	if l, r := f.Addrs(); l != local || r != remote {
		t.Errorf("addresses %v %v", l, r)
	}
	b.Start(KindConnect, Header{})
	b.File(file, FileInfo{Type: FDUnix}, []byte("/a\x00@b"))
	if err := v.Reset(b.Finish()); err != nil || !v.FileInfo(file, &f) {
		t.Fatal(err)
	}
	if l, r := f.UnixPaths(); l != "/a" || r != "@b" {
		t.Errorf("paths %q %q", l, r)
	}
}

// Every kind is consistent with itself, and every syscall leads to its kind.
func TestTables(t *testing.T) {
	for k := range Kind(NumKinds) {
		info := k.Info()
		if got, ok := KindByName(info.Name); !ok || got != k {
			t.Errorf("KindByName(%q) = %v, %v", info.Name, got, ok)
		}
		if info.Slots() > 64 {
			t.Errorf("%s has %d slots; the mask of variable ones holds 64", info.Name, info.Slots())
		}
		for i, p := range append(append([]Param{}, info.Params...), info.Extras...) {
			if p.Type.Variable() != (info.variable&(1<<i) != 0) {
				t.Errorf("%s.%s: type and mask of variable slots disagree", info.Name, p.Name)
			}
		}
		if k != KindSyscall && info.Origin == Syscall && !reachable(k) {
			t.Errorf("no syscall makes %s events", info.Name)
		}
	}
	for name, want := range map[string]Kind{"openat": KindOpenat, "pread64": KindPread, "swapon": KindSyscall} {
		id, ok := SyscallByName(name)
		if !ok || id.Kind() != want || id.String() != name {
			t.Errorf("%s: id %v, %v, kind %v", name, id, ok, id.Kind())
		}
	}
	if n, ok := mustID(t, "openat").Number(AMD64); n != 257 || !ok {
		t.Errorf("openat on amd64 = %d, %v", n, ok)
	}
	if _, ok := mustID(t, "open").Number(ARM64); ok {
		t.Error("arm64 has no open")
	}
}

// notOnAnyABI are kinds of syscalls that exist in captures only: socketcall's
// parts on i386.
var notOnAnyABI = map[Kind]bool{KindSend: true, KindRecv: true}

func reachable(k Kind) bool {
	if notOnAnyABI[k] {
		return true
	}
	for id := range ID(NumSyscalls()) {
		if id.Kind() == k {
			return true
		}
	}
	return false
}

func mustID(t *testing.T, name string) ID {
	t.Helper()
	id, ok := SyscallByName(name)
	if !ok {
		t.Fatalf("no syscall %s", name)
	}
	return id
}

func TestKindSet(t *testing.T) {
	var s KindSet
	s.Add(KindOpen)
	s.Add(Kind(NumKinds - 1))
	if !s.Has(KindOpen) || !s.Has(Kind(NumKinds-1)) || s.Has(KindClose) {
		t.Errorf("set %v", s)
	}
	var o KindSet
	o.Add(KindClose)
	s.AddAll(o)
	if !s.Has(KindOpen) || !s.Has(KindClose) || s.Has(KindDup) || o.Has(KindOpen) {
		t.Errorf("sets %v and %v", s, o)
	}
}

// No bytes make a View read outside of them.
func FuzzView(f *testing.F) {
	var b Builder
	for k := range Kind(NumKinds) {
		b.Start(k, Header{})
		for i, p := range append(append([]Param{}, k.Info().Params...), k.Info().Extras...) {
			if p.Type.Variable() {
				b.Str(i, strings.Repeat("x", FileInfoSize+i))
			}
		}
		f.Add(append([]byte{}, b.Finish()...))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		aligned := make([]uint64, len(raw)/8+1)
		b := unsafe.Slice((*byte)(unsafe.Pointer(&aligned[0])), len(aligned)*8)[:len(raw)]
		copy(b, raw)
		var v View
		if v.Reset(b) != nil {
			return
		}
		var n int
		for i := range v.Info().Slots() {
			if v.Info().variable&(1<<i) == 0 {
				n += int(v.Uint(i) & 1)
				continue
			}
			p, _ := v.Bytes(i)
			for _, c := range p {
				n += int(c)
			}
		}
		var info FileInfo
		if i := v.Info().File; i >= 0 && v.FileInfo(i, &info) {
			info.Addrs()
			info.UnixPaths()
			n += len(info.Path())
		}
		_ = n
	})
}
