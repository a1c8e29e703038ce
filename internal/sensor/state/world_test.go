package state

import (
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// world makes events as the kernel would, for a small machine of its own.
type world struct {
	t     testing.TB
	table *Table
	b     event.Builder
	now   uint64
	procs map[int32]*event.Header // the kernel's state of each process
}

const epochAtBoot = 1_700_000_000_000_000_000

func newWorld(t testing.TB, o Options) *world {
	w := &world{t: t, table: NewTable(o), now: 1_000_000_000, procs: make(map[int32]*event.Header)}
	w.start(1, 0, "init")
	return w
}

func (w *world) header(pid int32) event.Header {
	w.now += 1000
	h := *w.procs[pid]
	h.Time = w.now
	return h
}

// apply passes the event to the table and returns its process; it is alive
// until the next event.
func (w *world) apply(raw []byte) *Process {
	w.t.Helper()
	var v event.View
	if err := v.Reset(raw); err != nil {
		w.t.Fatal(err)
	}
	p := w.table.Apply(&v, v.Header().Time+epochAtBoot)
	if p == nil {
		w.t.Fatal("Apply returned nil")
	}
	w.table.Done(&v)
	return p
}

// start makes a process that the table gets from a snapshot.
func (w *world) start(pid, ppid int32, comm string) *Process {
	w.t.Helper()
	w.born(pid, ppid, comm)
	return w.apply(w.task(pid, comm))
}

// born makes a process without an event for the table.
func (w *world) born(pid, ppid int32, comm string) {
	w.now += 1000
	w.procs[pid] = &event.Header{
		PID: uint32(pid), TID: uint32(pid), VTID: uint32(pid), PPID: uint32(ppid), Start: w.now, ExecID: 1,
		LoginUID: noID, Cgroup: 1, MntNS: 1, PIDNS: 1, Syscall: event.NoSyscall,
	}
}

func (w *world) task(pid int32, comm string) []byte {
	h := w.header(pid)
	w.b.Start(event.KindTask, h)
	w.b.Str(event.TaskComm, comm)
	w.b.Str(event.TaskArgv, "/bin/"+comm+"\x00-v\x00")
	w.b.Str(event.TaskExepath, "/usr/bin/"+comm)
	w.b.Str(event.TaskCwd, "/")
	w.b.Str(event.TaskEnv, "A=1\x00")
	for _, i := range []int{event.TaskVtgid, event.TaskSid, event.TaskPgid, event.TaskVpgid} {
		w.b.Int(i, int64(pid))
	}
	w.b.Uint(event.TaskNthreads, 1)
	return w.b.Finish()
}

// forkRaw is the event of a fork; the kernel's part is done.
func (w *world) forkRaw(pid, child int32) []byte {
	h := w.header(pid)
	c := h
	c.PID, c.TID, c.VTID, c.PPID, c.Start = uint32(child), uint32(child), uint32(child), uint32(pid), w.now
	w.procs[child] = &c
	p := w.table.Get(pid)
	w.b.Start(event.KindProcfork, h)
	w.b.Int(event.ProcforkChild, int64(child))
	w.b.Int(event.ProcforkPpid, int64(pid))
	w.b.Int(event.ProcforkVpid, int64(child))
	w.b.Int(event.ProcforkVtid, int64(child))
	if p != nil {
		w.b.Int(event.ProcforkSid, int64(p.SID))
		w.b.Int(event.ProcforkPgid, int64(p.PGID))
		w.b.Int(event.ProcforkVpgid, int64(p.VPGID))
	}
	w.b.Uint(event.ProcforkStart, c.Start)
	w.b.Uint(event.ProcforkUid, uint64(h.UID))
	w.b.Uint(event.ProcforkGid, uint64(h.GID))
	return w.b.Finish()
}

func (w *world) fork(pid, child int32) *Process {
	w.t.Helper()
	w.apply(w.forkRaw(pid, child))
	return w.table.Get(child)
}

func (w *world) execRaw(pid int32, path string, args ...string) []byte {
	w.procs[pid].ExecID++
	h := w.header(pid)
	h.Kind = event.KindExecve
	w.b.Start(event.KindExecve, h)
	comm := path[strings.LastIndexByte(path, '/')+1:]
	w.b.Str(event.ExecveComm, comm[:min(len(comm), 15)])
	w.b.Str(event.ExecveExe, path)
	w.b.Str(event.ExecveTrustedExepath, path)
	list := ""
	for _, a := range args {
		list += a + "\x00"
	}
	w.b.Str(event.ExecveArgs, list)
	w.b.Str(event.ExecveEnv, "PATH=/bin\x00HOME=/root\x00")
	w.b.Str(event.ExecveCwd, "/tmp")
	w.b.Str(event.ExecveCgroups, "=/\x00")
	for _, i := range []int{event.ExecveVpid, event.ExecveSid, event.ExecvePgid, event.ExecveVpgid} {
		w.b.Int(i, int64(pid))
	}
	return w.b.Finish()
}

func (w *world) exec(pid int32, path string, args ...string) *Process {
	w.t.Helper()
	return w.apply(w.execRaw(pid, path, args...))
}

// exitRaw is the exit of pid, whose children go to reaper.
func (w *world) exitRaw(pid, reaper int32) []byte {
	h := w.header(pid)
	delete(w.procs, pid)
	for _, c := range w.procs {
		if c.PPID == uint32(pid) {
			c.PPID = uint32(reaper)
		}
	}
	w.b.Start(event.KindProcexit, h)
	w.b.Int(event.ProcexitReaperTid, int64(reaper))
	return w.b.Finish()
}

func (w *world) exit(pid, reaper int32) *Process {
	w.t.Helper()
	return w.apply(w.exitRaw(pid, reaper))
}

// call is an event that tells nothing but its header.
func (w *world) call(pid int32) *Process {
	w.t.Helper()
	return w.apply(w.callRaw(pid))
}

func (w *world) callRaw(pid int32) []byte {
	w.b.Start(event.KindClose, w.header(pid))
	return w.b.Finish()
}

// lineage is the names of p and its ancestors.
func (w *world) lineage(p *Process) string {
	var names []string
	for q := p; q != nil; q = w.table.Parent(q) {
		names = append(names, q.Comm)
	}
	return strings.Join(names, "<")
}
