// Package fieldtest makes events and the processes in which they happen, for
// tests of whatever reads a field.Context: conditions, templates, fields.
package fieldtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// Proc is a process of a World. Zero values are filled in: root's process, in
// no container, leading its session and group.
type Proc struct {
	PID, PPID        int
	VPID             int // 0: as PID
	PIDNS            uint32
	SID, PGID, VPGID int // 0: as PID
	Comm, ExePath    string
	Argv, Env        []string
	CWD              string // "": /
	UID, GID         uint32
	LoginUID         uint32 // 0: none
	TTY              uint32
	Flags            event.ExeFlags
	Caps             uint64 // permitted and effective
	Ino              uint64
	CTime, MTime     uint64
	Start            uint64 // ns before Now; 0: 100 s, a second less for each process before it
	PIDNSStart       uint64 // ns before Now; 0: not known
	Cgroups          []string
}

// Now is the time of a World's events, in ns since the epoch.
const Now = 1795359513447936116

// boot is the same time in the clock of event headers.
const boot = 1_000_000_000_000

// World is a table of processes and a maker of events.
type World struct {
	Table   *state.Table
	Context *field.Context
	builder event.Builder
	view    event.View
	procs   map[int]Proc
}

// passwd and group are the accounts of a World's host.
const (
	passwd = "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/zsh\n"
	group  = "root:x:0:\nstaff:x:1000:\n"
)

// New returns a world with these processes, parents first.
func New(t testing.TB, procs ...Proc) *World {
	t.Helper()
	root := t.TempDir()
	for name, data := range map[string]string{"passwd": passwd, "group": group} {
		path := filepath.Join(root, "etc", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w := &World{
		Table: state.NewTable(state.Options{HostRoot: root}),
		procs: make(map[int]Proc),
	}
	w.Context = &field.Context{
		Table:  w.Table,
		Static: &field.Static{Hostname: "vm", Source: "syscall", Snaplen: 80},
	}
	for _, p := range procs {
		w.add(t, p)
	}
	return w
}

func (w *World) add(t testing.TB, p Proc) {
	if p.Start == 0 {
		p.Start = 100e9 - uint64(len(w.procs))*1e9
	}
	p = p.complete()
	w.procs[p.PID] = p
	b, info := &w.builder, event.KindTask.Info()
	b.Start(event.KindTask, p.header())
	for name, n := range map[string]uint64{
		"sid": uint64(p.SID), "pgid": uint64(p.PGID), "vpgid": uint64(p.VPGID), "vtgid": uint64(p.VPID), "vpid": uint64(p.VPID),
		"flags": uint64(p.Flags), "cap_permitted": p.Caps, "cap_effective": p.Caps, "exe_ino_num": p.Ino,
		"exe_ino_ctime": p.CTime, "exe_ino_mtime": p.MTime, "tty": uint64(p.TTY), "fdlimit": 1024, "nthreads": 1,
		"start": boot - p.Start, "start_time": boot - p.Start,
	} {
		b.Uint(info.Slot(name), n)
	}
	if p.PIDNSStart != 0 {
		b.Uint(info.Slot("pidns_init_start_ts"), boot-p.PIDNSStart)
	}
	for name, s := range map[string]string{
		"comm": p.Comm, "exepath": p.ExePath, "cwd": p.CWD, "argv": list(p.Argv), "env": list(p.Env), "cgroups": list(p.Cgroups),
	} {
		b.Str(info.Slot(name), s)
	}
	if err := w.view.Reset(b.Finish()); err != nil {
		t.Fatal(err)
	}
	w.Table.Apply(&w.view, Now)
}

func (p Proc) complete() Proc {
	for _, n := range []*int{&p.VPID, &p.SID, &p.PGID, &p.VPGID} {
		if *n == 0 {
			*n = p.PID
		}
	}
	if p.LoginUID == 0 {
		p.LoginUID = 0xffffffff
	}
	if p.CWD == "" {
		p.CWD = "/"
	}
	return p
}

func (p Proc) header() event.Header {
	return event.Header{
		Time: boot, TID: uint32(p.PID), PID: uint32(p.PID), PPID: uint32(p.PPID), UID: p.UID, GID: p.GID,
		LoginUID: p.LoginUID, Start: boot - p.Start, VTID: uint32(p.VPID), PIDNS: p.PIDNS, Syscall: event.NoSyscall, CPU: 1,
	}
}

// list is NUL-separated, each entry with its NUL.
func list(entries []string) string {
	if len(entries) == 0 {
		return ""
	}
	return strings.Join(entries, "\x00") + "\x00"
}

// Param sets one parameter or extra of an event.
type Param func(b *event.Builder, info *event.Info)

// Num sets a number.
func Num(name string, n int64) Param {
	return func(b *event.Builder, info *event.Info) { b.Int(info.Slot(name), n) }
}

// Text sets a text, or anything that travels as bytes.
func Text(name, s string) Param {
	return func(b *event.Builder, info *event.Info) { b.Str(info.Slot(name), s) }
}

// File sets the file behind the event's descriptor.
func File(f event.FileInfo, data string) Param {
	return func(b *event.Builder, info *event.Info) { b.File(info.File, f, []byte(data)) }
}

// Event makes an event of process pid, and returns the Context that looks at
// it, which is valid until the next call.
func (w *World) Event(t testing.TB, pid int, k event.Kind, params ...Param) *field.Context {
	t.Helper()
	p, ok := w.procs[pid]
	if !ok {
		p = Proc{PID: pid}.complete()
	}
	h := p.header()
	h.Time++
	w.builder.Start(k, h)
	for _, set := range params {
		set(&w.builder, k.Info())
	}
	if err := w.view.Reset(w.builder.Finish()); err != nil {
		t.Fatal(err)
	}
	if info := k.Info(); info.Origin == event.Syscall && len(info.Params) > 0 && isResult(info) {
		w.view.Header().Res = w.view.Int(0)
	}
	c := w.Context
	c.Reset()
	c.Event, c.Proc = &w.view, w.Table.Apply(&w.view, Now)
	c.Num, c.Time = c.Num+1, Now
	return c
}

// isResult says whether the first parameter of a kind is what the call returned.
func isResult(info *event.Info) bool {
	first := info.Params[0].Name
	return first == "res" || first == "fd" && info.Traits&event.CreatesFD != 0
}
