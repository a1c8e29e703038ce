package capture

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// A file of a machine of the other byte order says the same.
func TestByteOrder(t *testing.T) {
	events := func(s *script) {
		s.ev(50, event.KindOpenat, Num(3), Num(-100), Text("notes.txt"), Num(1), Num(0o644), Num(8), Num(123))
		s.ev(50, event.KindRead, Num(5), Text("hello"), Num(3), Num(4096))
		s.ev(50, event.KindClose, Num(-4), Num(3))
		s.ev(50, event.KindPoll, Num(1), None, Num(-1))
		s.ev(50, event.KindSyscall, Num(99), Num(24))
	}
	var files [2]bytes.Buffer
	for i, order := range []byteOrder{binary.LittleEndian, binary.BigEndian} {
		s := &script{newWriter(&files[i], Machine{CPUs: 3, Hostname: "h", BootTime: 5}, order), base}
		s.Processes(Process{TID: 50, PID: 50, Comm: "sh", CWD: "/tmp", UID: 7, Args: "a\x00"})
		s.FDs(50, FD{Num: 0, Ino: 9, Path: "/dev/null"})
		events(s)
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
	}
	little, err := text(t, files[0].Bytes())
	if err != nil {
		t.Fatal(err)
	}
	big, err := text(t, files[1].Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(little, big); diff != "" || !strings.Contains(little, `"hello"`) {
		t.Error(diff)
	}
}

func TestGzip(t *testing.T) {
	plain := capture(t, scripts["files"])
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(plain)
	w.Close()
	path := filepath.Join(t.TempDir(), "x.scap.gz")
	if err := os.WriteFile(path, z.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := 0
	readAll(t, r, func(*event.View) { n++ })
	want, err := text(t, plain)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(want, "\n") - 4; n != lines {
		t.Errorf("%d events, want %d", n, lines)
	}
	// A truncated file is read up to the cut, then the error names the offset.
	got, err := text(t, z.Bytes()[:z.Len()-20])
	var format *FormatError
	if !errors.As(err, &format) || !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(got, "openat") {
		t.Errorf("cut off gzip: %v, after\n%s", err, got)
	}
}

// Wherever a file is cut off: all events before are read, then an error tells
// where, or it was between two blocks.
func TestTruncated(t *testing.T) {
	file := capture(t, scripts["processes"])
	whole, err := text(t, file)
	if err != nil {
		t.Fatal(err)
	}
	ends := map[int]bool{}
	for at := 0; at < len(file); at += int(binary.NativeEndian.Uint32(file[at+4:])) {
		ends[at] = true
	}
	for n := range len(file) {
		if n > 200 && n%31 != 0 && !ends[n] { // for speed
			continue
		}
		got, err := text(t, file[:n])
		if !strings.HasPrefix(untimed(whole), untimed(got)) {
			t.Fatalf("cut at %d: read something else:\n%s", n, got)
		}
		var format *FormatError
		switch {
		case n == 0:
			if err == nil || !strings.Contains(err.Error(), "empty") {
				t.Fatalf("empty file: %v", err)
			}
		case ends[n]:
			if err != nil {
				t.Fatalf("cut between blocks at %d: %v", n, err)
			}
		case !errors.As(err, &format) || format.Offset > int64(n) || !ends[int(format.Offset)]:
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

// untimed drops lines that are not events, and the times of the events before
// the first real one, whose time they have.
func untimed(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "machine ") || strings.HasPrefix(l, "interface ") {
			lines[i] = ""
		}
		if strings.Contains(l, "added tid=0") || strings.Contains(l, " task tid=") {
			_, lines[i], _ = strings.Cut(l, " ")
		}
	}
	return strings.TrimLeft(strings.Join(lines, "\n"), "\n")
}

func TestBroken(t *testing.T) {
	file := capture(t, scripts["files"])
	var at []int
	for i := 0; i < len(file); i += int(binary.NativeEndian.Uint32(file[i+4:])) {
		at = append(at, i)
	}
	first := 0 // the first event's block
	for i, a := range at {
		if binary.NativeEndian.Uint32(file[a:]) == blockEvent2 {
			first = i
			break
		}
	}
	second := at[first+1]
	for _, c := range []struct {
		name   string
		breaks func(b []byte)
		offset int
		want   string
	}{
		{"no capture", func(b []byte) { copy(b, "#!/bin/sh\n") }, 0, "expected a .scap file"},
		{"no magic", func(b []byte) { b[8] ^= 1 }, 0, "magic"},
		{"newer", func(b []byte) { b[12] = 2 }, 0, "newer"},
		{"block too short", func(b []byte) { binary.NativeEndian.PutUint32(b[second+4:], 5) }, second, "length 5"},
		{"block too long", func(b []byte) { binary.NativeEndian.PutUint32(b[second+4:], 1<<30) }, second, "length"},
		{"block beyond the end", func(b []byte) { binary.NativeEndian.PutUint32(b[second+4:], 1<<20) }, second, "ends in the middle"},
		{"too many parameters", func(b []byte) { binary.NativeEndian.PutUint32(b[second+8+2+22:], 9999) }, second, "9999 parameters"},
		{"parameter too long", func(b []byte) { binary.NativeEndian.PutUint16(b[second+8+2+26:], 60000) }, second, "shorter than its parameters"},
		{"event too short", func(b []byte) { binary.NativeEndian.PutUint32(b[second+8+2+16:], 3) }, second, "shorter"},
		{"process list", func(b []byte) { binary.NativeEndian.PutUint32(b[at[4]+8:], 1<<20) }, at[4], "process list"},
		{"user list", func(b []byte) { binary.NativeEndian.PutUint32(b[at[3]+8:], 5) }, at[3], "user list"},
		{"fd list", func(b []byte) { b[at[5]+8+8+4+16] = 77 }, at[5], "unknown type 77"},
	} {
		b := bytes.Clone(file)
		c.breaks(b)
		_, err := text(t, b)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		var format *FormatError
		if errors.As(err, &format) && format.Offset != int64(c.offset) {
			t.Errorf("%s: at %d, want %d", c.name, format.Offset, c.offset)
		}
	}
}

// Unknown blocks and events of newer or other programs are skipped.
func TestUnknownIsSkipped(t *testing.T) {
	file := capture(t, func(s *script) {
		s.block(0x7777, append(s.begin(), "what is this"...))
		s.block(blockInterface2, append(s.begin(), "no interfaces"...))
		s.event(blockEvent2, base, 50, 0, 60000, nil, nil)
		s.event(blockEvent2, base, 50, 0, 235-1, []event.Param{{Type: event.Uint64}}, []Value{Num(1)}) // procinfo
		s.ev(50, event.KindFstat, Num(0), Num(0))
	})
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	readAll(t, r, func(v *event.View) {
		if v.Kind() == event.KindFstat {
			n++
		}
	})
	if n != 1 || r.Skipped() != 2 {
		t.Errorf("%d events, %d skipped", n, r.Skipped())
	}
}

// Two captures, one after the other, are one; the second starts from nothing.
func TestConcatenated(t *testing.T) {
	a := capture(t, func(s *script) {
		s.ev(50, event.KindOpenat, Num(3), Num(-100), Text("a"), Num(1), Num(0), Num(0), Num(0))
	})
	b := capture(t, func(s *script) { s.ev(50, event.KindFstat, Num(0), Num(3)) })
	got, err := text(t, append(a, b...))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(got, " task tid=50") != 2 || !strings.Contains(got, "fstat tid=50 pid=50 ppid=1 uid=1000 gid=100 res=0 fd=3 | file=-") {
		t.Error(got)
	}
}

// All versions of the process list, and the first ones of the others.
func TestOldLists(t *testing.T) {
	for version := 1; version <= 9; version++ {
		var out bytes.Buffer
		w := NewWriter(&out, Machine{})
		typ := map[int]uint32{1: blockProcess1, 2: blockProcess2, 3: blockProcess3}[version]
		if version >= 4 {
			typ = blockProcess4 + uint32(version) - 4
		}
		b := w.begin()
		for _, pid := range []int64{7, 8} {
			b = append(b, oldProcess(w, version, pid)...)
		}
		w.block(typ, b)
		w.block(blockFDs, oldFDs(w))
		w.block(blockUsers, oldUsers(w))
		s := &script{w, base}
		s.ev(8, event.KindFstat, Num(0), Num(3))
		s.ev(8, event.KindFstat, Num(0), Num(4))
		got, err := text(t, out.Bytes())
		if err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		for since, want := range map[int]string{
			1: `comm="sh8" argv="/bin/sh\x00-c\x00x\x00"`, 2: "vm_size=21 vm_rss=22 vm_swap=23 pgft_maj=24", 3: `env="A=1\x00"`,
			4: `cgroups="memory=/x\x00"`, 5: `root="/jail"`, 6: "sid=6", 7: `exepath="/usr/bin/sh"`, 8: "vpgid=88", 9: "loginuid=91",
		} {
			if has := strings.Contains(got, want); has != (since <= version) {
				t.Errorf("version %d has %s: %v", version, want, has)
			}
		}
		for _, want := range []string{
			`fd=3 | file={1 flags=0 ino=33 dev=0 "/f"}`, "fd=4 | file={4 flags=12 proto=17 2001:db8::5:1 2001:db8::7:2}",
			`useradded tid=0 pid=0 ppid=0 uid=0 gid=0 uid=5 gid=6 name="bob"`, `name="wheel"`,
		} {
			if !strings.Contains(got, want) {
				t.Errorf("version %d: no %s in\n%s", version, want, got)
			}
		}
	}
}

func oldProcess(w *Writer, version int, pid int64) []byte {
	o := w.order
	var b []byte
	for _, n := range []int64{pid, pid, 1} {
		b = o.AppendUint64(b, uint64(n))
	}
	if version >= 6 {
		b = o.AppendUint64(b, 6)
	}
	if version >= 8 {
		b = o.AppendUint64(b, 88)
	}
	b = w.str(w.str(b, fmt.Sprintf("sh%d", pid)), "/bin/sh")
	if version >= 7 {
		b = w.str(b, "/usr/bin/sh")
	}
	b = w.str(w.str(b, "-c\x00x\x00"), "/tmp/")
	b = o.AppendUint64(b, 1024)
	for _, n := range []uint32{0, 1000, 100} {
		b = o.AppendUint32(b, n)
	}
	if version >= 2 {
		for _, n := range []uint32{21, 22, 23} {
			b = o.AppendUint32(b, n)
		}
		b = o.AppendUint64(o.AppendUint64(b, 24), 25)
	}
	if version >= 3 {
		b = w.str(b, "A=1\x00")
	}
	if version >= 4 {
		b = w.str(o.AppendUint64(o.AppendUint64(b, uint64(pid)), uint64(pid)), "memory=/x\x00")
	}
	if version >= 5 {
		b = w.str(b, "/jail")
	}
	if version >= 9 { // as before the two members in the middle
		b = append(o.AppendUint32(b, 91), 1)
		b = o.AppendUint64(o.AppendUint64(o.AppendUint64(b, 1), 2), 3)
		b = append(o.AppendUint32(nil, uint32(len(b)+4)), b...)
	}
	return b
}

func oldFDs(w *Writer) []byte {
	o := w.order
	b := o.AppendUint64(w.begin(), 8)
	b = append(o.AppendUint64(o.AppendUint64(b, 3), 33), scapFileV2)
	b = w.str(o.AppendUint32(b, 1), "/f")
	b = append(o.AppendUint64(o.AppendUint64(b, 4), 44), scapIPv6)
	b = append(append(b, cli6.Addr().AsSlice()...), srv6.Addr().AsSlice()...)
	return append(o.AppendUint16(o.AppendUint16(b, 1), 2), 3)
}

func oldUsers(w *Writer) []byte {
	o := w.order
	b := o.AppendUint32(o.AppendUint32(append(w.begin(), 0), 5), 6)
	b = w.str(w.str(w.str(b, "bob"), "/home/bob"), "/bin/zsh")
	return w.str(o.AppendUint32(append(b, 1), 9), "wheel")
}

// A capture drives the process table as the probe does.
func TestDrivesTheProcessTable(t *testing.T) {
	r, err := NewReader(bytes.NewReader(capture(t, scripts["processes"])))
	if err != nil {
		t.Fatal(err)
	}
	table := state.NewTable(state.Options{})
	var got []string
	readAll(t, r, func(v *event.View) {
		p := table.Apply(v, v.Header().Time)
		if k := v.Kind(); k != event.KindUseradded && k != event.KindGroupadded {
			line := v.Info().Name + ": "
			for q := p; q != nil; q = table.Parent(q) {
				line += fmt.Sprintf("%s(%d) ", q.Comm, q.PID)
			}
			got = append(got, line+table.User(p, p.UID).Name+" "+p.CWD)
		}
		table.Done(v)
	})
	want := []string{
		"task: init(1) root /",
		"task: bash(50) init(1) ann /home/ann/",
		"procfork: bash(50) init(1) ann /home/ann/",
		"clone: bash(50) init(1) ann /home/ann/",
		"clone: bash(60) bash(50) init(1) ann /home/ann/",
		"openat: bash(60) bash(50) init(1) ann /home/ann/",
		"openat: bash(60) bash(50) init(1) ann /home/ann/",
		"execve: bash(60) bash(50) init(1) ann /home/ann/",
		"execve: tool(60) bash(50) init(1) ann /home/ann/",
		"fstat: tool(60) bash(50) init(1) ann /home/ann/",
		"fstat: tool(60) bash(50) init(1) ann /home/ann/",
		"clone: tool(60) bash(50) init(1) ann /home/ann/",
		"fstat: tool(60) bash(50) init(1) ann /home/ann/",
		"procexit: tool(60) bash(50) init(1) ann /home/ann/",
		"procfork: tool(60) bash(50) init(1) ann /home/ann/",
		"clone: tool(70) tool(60) bash(50) init(1) ann /home/ann/",
		"clone: tool(60) bash(50) init(1) ann /home/ann/",
		"procfork: tool(60) bash(50) init(1) ann /home/ann/",
		"clone: tool(80) tool(60) bash(50) init(1) ann /home/ann/",
		"fstat: tool(80) tool(60) bash(50) init(1) ann /home/ann/",
		"procexit: tool(60) bash(50) init(1) ann /home/ann/",
		"fstat: tool(70) bash(50) init(1) ann /home/ann/",
		"procfork: bash(50) init(1) ann /home/ann/",
		"clone: bash(50) init(1) ann /home/ann/",
		"execve: x(60) bash(50) init(1) ann /tmp/",
		"procfork: bash(50) init(1) ann /home/ann/",
		"clone: bash(70) bash(50) init(1) ann /home/ann/",
		"close: (999) <NA> ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if s := table.Stats(); s.Fetched != 0 || s.LookupsFailed != 1 {
		t.Errorf("stats %+v", s)
	}
}

// A process that enters a mount namespace is in its root from then on.
func TestSetnsLeadsToRoot(t *testing.T) {
	got, err := text(t, capture(t, func(s *script) {
		s.ev(50, event.KindSetns, Num(-1), Num(7), Num(cloneNewNS))
		s.ev(50, event.KindUnlink, Num(0), Text("before"))
		s.ev(50, event.KindSetns, Num(0), Num(7), Num(cloneNewNS))
		s.ev(50, event.KindUnlink, Num(0), Text("after"))
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`path="before" | base="/home/ann"`, `path="after" | base="/"`} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}
