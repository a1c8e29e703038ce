package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// nothingOpen is the host of processes that are not there.
type nothingOpen struct{}

func (nothingOpen) Threads(int64) []int64 { return nil }
func (nothingOpen) FDs(int64) []FD        { return nil }

// drawEvent fills every slot of an event of kind k with values that files can
// hold.
func drawEvent(t *rapid.T, b *event.Builder, k event.Kind) []byte {
	info := k.Info()
	b.Start(k, event.Header{
		Time: uint64(k+1) * second, TID: rapid.Uint32Range(1, 1<<22).Draw(t, "tid"), PID: rapid.Uint32Range(1, 1<<22).Draw(t, "pid"),
		Syscall: kindSyscall[k], CPU: rapid.Uint16().Draw(t, "cpu"), Start: rapid.Uint64().Draw(t, "start"), MntNS: rapid.Uint32().Draw(t, "mntns"),
	})
	for i, p := range info.Params {
		drawParam(t, b, k, i, p)
	}
	for i, p := range info.Extras {
		if slot := len(info.Params) + i; p.Type == event.File {
			b.File(slot, event.FileInfo{Type: event.FDFile, Ino: rapid.Uint64().Draw(t, "ino")}, []byte("/resolved"))
		} else if p.Type.Variable() {
			b.Str(slot, "/base")
		} else {
			b.Uint(slot, rapid.Uint64().Draw(t, p.Name))
		}
	}
	return slices.Clone(b.Finish())
}

var texts = []string{"/etc/shadow", "x", "../with blanks/é", "@abstract", strings.Repeat("long/", 60)}

func drawParam(t *rapid.T, b *event.Builder, k event.Kind, i int, p event.Param) {
	endpoint := func() []byte { return rapid.SliceOfN(rapid.Byte(), 4+2, 4+2).Draw(t, "IPv4 and port") }
	text := rapid.SampledFrom(texts).Draw(t, p.Name)
	switch p.Type {
	case event.SyscallName:
		b.Uint(i, uint64(event.NumSyscalls()-1))
	case event.String, event.Path, event.RelPath:
		b.Str(i, text)
	case event.Bytes, event.Strings:
		b.Bytes(i, append([]byte(text), 0))
	case event.SockAddr:
		if rapid.Bool().Draw(t, "unix") {
			b.Str(i, "\x01"+text)
		} else {
			b.Bytes(i, append([]byte{afInet}, endpoint()...))
		}
	case event.SockTuple:
		if rapid.Bool().Draw(t, "unix") {
			b.Str(i, "\x01\x00"+text)
		} else {
			b.Bytes(i, append(append([]byte{afInet}, endpoint()...), endpoint()...))
		}
	case event.FDList:
		b.Str(i, "\x01\x00\x03\x00\x00\x00\x00\x00\x00\x00\x01\x00")
	case event.Dyn:
		typ := rapid.SampledFrom(dynTypes[p.Table]).Draw(t, "dyn")
		if typ.Variable() {
			b.Bytes(i, append([]byte{byte(typ)}, text...))
		} else {
			b.Bytes(i, binary.NativeEndian.AppendUint64([]byte{byte(typ)}, uint64(rapid.Uint8Range(0, 127).Draw(t, "n"))))
		}
	default:
		n := rapid.Uint64().Draw(t, p.Name)
		shift := 64 - 8*width(k, p)
		switch p.Type {
		case event.Errno, event.FD, event.PID, event.Int8, event.Int16, event.Int32, event.Int64:
			b.Int(i, int64(n)<<shift>>shift)
		default:
			b.Uint(i, n<<shift>>shift)
		}
	}
}

// failer is a test, or a property of one.
type failer interface {
	Helper()
	Fatal(...any)
}

// recorded is a file with these events, each behind a silent one.
func recorded(t failer, silent []byte, events [][]byte) []byte {
	t.Helper()
	var file bytes.Buffer
	w := NewWriter(&file, Machine{CPUs: 1})
	if err := w.Lists(silent, nothingOpen{}); err != nil {
		t.Fatal(err)
	}
	var v event.View
	for _, ev := range events {
		if err := v.Reset(ev); err != nil {
			t.Fatal(err)
		}
		if err := w.Record(silent, &v); err != nil {
			t.Fatal(err)
		}
	}
	return file.Bytes()
}

// foreign is the file as a binary with another schema would have written it.
func foreign(file []byte) []byte {
	was := binary.NativeEndian.AppendUint64(nil, schema())
	return bytes.Replace(file, was, make([]byte, len(was)), 1)
}

// read returns all events of a file.
func read(t failer, file []byte) (events [][]byte) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for {
		ev, err := r.Next()
		if err != nil {
			if err.Error() != "EOF" {
				t.Fatal(err)
			}
			return events
		}
		events = append(events, slices.Clone(ev))
	}
}

// Readers that know Falco's part alone are told of a change of directory that an
// event tells of, and a child has the directory of its parent.
func TestRecordDirectory(t *testing.T) {
	var b event.Builder
	const own = 7
	silent := func() []byte {
		b.Start(event.KindTask, event.Header{PID: own, TID: own, Time: 1})
		b.Str(event.KindTask.Info().Slot("cwd"), "/")
		return slices.Clone(b.Finish())
	}()
	fork := func(dir string, time uint64) []byte {
		b.Start(event.KindProcfork, event.Header{PID: own, TID: own, Time: time * second, Syscall: event.NoSyscall})
		b.Int(event.ProcforkChild, 8)
		if dir != "" {
			b.CWD(dir)
		}
		return slices.Clone(b.Finish())
	}
	b.Start(event.KindFchdir, event.Header{PID: own, TID: own, Time: 3 * second, Syscall: kindSyscall[event.KindFchdir]})
	b.Str(event.KindFchdir.Info().Slot("cwd"), "/c")
	fchdir := slices.Clone(b.Finish())
	var file bytes.Buffer
	w := NewWriter(&file, Machine{CPUs: 1})
	err := w.Lists(silent, nothingOpen{})
	var v event.View
	for _, ev := range [][]byte{fork("/b", 1), fork("", 2), fchdir, fork("", 4)} {
		err = errors.Join(err, v.Reset(ev), w.Record(nil, &v))
	}
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, ev := range read(t, foreign(file.Bytes())) {
		if err := v.Reset(ev); err != nil {
			t.Fatal(err)
		}
		for kind, param := range map[event.Kind]string{event.KindChdir: "path", event.KindClone: "cwd", event.KindFchdir: ""} {
			if v.Kind() == kind {
				dir, _ := v.Str(max(v.Info().Slot(param), 0))
				got = append(got, kind.String()+" "+dir)
			}
		}
	}
	if want := []string{"chdir /b", "clone /b", "clone /b", "fchdir ", "clone /c"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A change of directory comes behind the description of its process, and is
// told of silent events, too.
func TestRecordDirectoryOfSilent(t *testing.T) {
	var b event.Builder
	at := func(k event.Kind, time uint64, dir string) []byte {
		b.Start(k, event.Header{PID: 7, TID: 7, Time: time * second, Syscall: kindSyscall[k]})
		if dir != "" {
			b.CWD(dir)
		}
		return slices.Clone(b.Finish())
	}
	task := at(event.KindTask, 1, "")
	for _, tt := range []struct {
		name          string
		silent, event []byte
		ours, others  []string
	}{
		{"of a new process", task, at(event.KindGetcwd, 1, "/a"), []string{"task", "chdir /a", "getcwd"}, []string{"chdir /a", "getcwd"}},
		{"of a silent event", slices.Concat(task, at(event.KindProcmove, 2, "/b"), at(event.KindUseradded, 3, "")), at(event.KindGetcwd, 4, ""),
			[]string{"task", "procmove", "chdir /b", "useradded", "getcwd"}, []string{"chdir /b", "getcwd"}},
		{"of both", slices.Concat(task, at(event.KindProcmove, 2, "/b")), at(event.KindGetcwd, 4, "/c"),
			[]string{"task", "procmove", "chdir /b", "chdir /c", "getcwd"}, []string{"chdir /b", "chdir /c", "getcwd"}},
	} {
		var file bytes.Buffer
		w := NewWriter(&file, Machine{CPUs: 1})
		var v event.View
		if err := errors.Join(w.Lists(nil, nothingOpen{}), v.Reset(tt.event), w.Record(tt.silent, &v)); err != nil {
			t.Fatal(err)
		}
		if got := told(t, file.Bytes()); !slices.Equal(got, tt.ours) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.ours)
		}
		if got := told(t, foreign(file.Bytes())); !slices.Equal(got, tt.others) {
			t.Errorf("%s, for other readers: %q, want %q", tt.name, got, tt.others)
		}
	}
}

// told are the events of a file: their kinds, with the paths of chdir.
func told(t *testing.T, file []byte) (events []string) {
	t.Helper()
	var v event.View
	for _, ev := range read(t, file) {
		if err := v.Reset(ev); err != nil {
			t.Fatal(err)
		}
		what := v.Kind().String()
		if v.Kind() == event.KindChdir {
			dir, _ := v.Str(event.ChdirPath)
			what += " " + dir
		}
		events = append(events, what)
	}
	return events
}

// Every kind of event is read as it was delivered, with all that came before
// it; and by readers that know Falco's part alone, with all its parameters.
func TestRecordEveryKind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b event.Builder
		silent := drawEvent(t, &b, event.KindTask)
		var events [][]byte
		want := [][]byte{silent}
		for k := range event.NumKinds {
			events = append(events, drawEvent(t, &b, event.Kind(k)))
			want = append(want, silent, events[k])
		}
		file := recorded(t, silent, events)
		got := read(t, file)
		if len(got) != len(want) {
			t.Fatalf("%d events, want %d", len(got), len(want))
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("event %d is not what was written", i)
			}
		}
		var v event.View
		byTime := map[uint64][]byte{}
		for _, ev := range read(t, foreign(file)) {
			byTime[headerOf(ev).Time] = ev
		}
		for _, ev := range events {
			if v.Reset(ev) == nil && !Silent(v.Kind()) && v.Kind() != event.KindProcfork {
				sameParams(t, ev, byTime[v.Header().Time])
			}
		}
	})
}

// sameParams compares an event with its form in Falco's part of the file.
func sameParams(t *rapid.T, want, got []byte) {
	var w, g event.View
	if w.Reset(want) != nil || g.Reset(got) != nil {
		t.Fatal("no events")
	}
	if w.Header().Time != g.Header().Time || w.Header().CPU != g.Header().CPU {
		t.Errorf("header %+v, want %+v", g.Header(), w.Header())
	}
	if w.Kind() == event.KindExecveat && w.Int(0) >= 0 {
		return // an execve, as the kernel reports it
	}
	if codeOf[w.Kind()] == 0 { // a syscall like any other
		if g.Kind() != event.KindSyscall || g.Header().Syscall != w.Header().Syscall {
			t.Errorf("%s became %s of syscall %d", w.Kind(), g.Kind(), g.Header().Syscall)
		}
		return
	}
	if w.Kind() != g.Kind() {
		t.Fatalf("%s became %s", w.Kind(), g.Kind())
	}
	for i, p := range w.Info().Params {
		switch wb, wok := []byte(nil), false; {
		case p.Type == event.SyscallName:
		case p.Type.Variable():
			wb, wok = w.Bytes(i)
			if gb, gok := g.Bytes(i); gok != wok || !bytes.Equal(wb, gb) {
				t.Errorf("%s: %q, want %q", p.Name, gb, wb)
			}
		case w.Uint(i) != g.Uint(i):
			t.Errorf("%s: %#x, want %#x", p.Name, g.Uint(i), w.Uint(i))
		}
	}
}

// A file of several gzip members is one. Data after the last member, of any
// length, is not part of it.
func TestMembers(t *testing.T) {
	file := capture(t, scripts["files"])
	want, err := text(t, file)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	for _, part := range [][]byte{file[:1000], file[1000:]} {
		z := gzip.NewWriter(&packed)
		if _, err := z.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 40 {
		cut := append(bytes.Clone(packed.Bytes()), make([]byte, n)...)
		if n > 2 { // other members
			copy(cut[packed.Len()+2:], packed.Bytes()[2:])
		}
		if got, err := text(t, cut); err != nil || got != want {
			t.Errorf("with %d bytes behind it: %v", n, err)
		}
	}
}
