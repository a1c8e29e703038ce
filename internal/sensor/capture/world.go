package capture

import "github.com/peregrine-sec/peregrine/internal/sensor/event"

// world is the state that the kernel would have: the threads and processes at
// the time of the last event.
type world struct {
	threads map[int32]*thread
	last    *thread
	spare   []*thread
	tables  []*fdTable // for reuse
	fds     int        // room for descriptors that is left
}

// thread is one thread of a process.
type thread struct {
	tid, vtid int32
	p         *proc
	born      uint64 // when it was cloned; 0 if the capture does not tell
	// The entry into the syscall that it is in, for files whose exits lack
	// parameters: its code and the block as it was.
	entry      uint16
	entryBlock uint32
	entryBody  []byte
}

// proc is one process.
type proc struct {
	pid, vpid, sid, pgid, vpgid int32
	// parent is the next parent of its children: as processes die, that moves on
	// to their reaper.
	parent *proc
	ppid   int32 // of a parent that is not known
	reaper *proc // of a dead one
	dead   bool
	start  uint64
	execID uint32
	// threads is the number of its threads that are known.
	threads int

	uid, gid, loginuid uint32
	inh, perm, eff     uint64
	tty                uint32
	cwd, root          string // cwd without a final slash, but for "/"
	cgroups            string
	cgroup             uint64 // stands for cgroups in headers
	fds                *fdTable
}

const (
	noID = 0xffffffff
	// oldStart is the start of processes that are older than the capture:
	// files do not say when that was.
	oldStart = 1
	// maxThreads bounds the table; threads beyond it share one entry.
	maxThreads = 1 << 18
)

func (w *world) reset() {
	*w = world{threads: make(map[int32]*thread), fds: maxFDs}
}

// get returns the thread, which it makes up if it is not known.
func (w *world) get(tid int32) *thread {
	if w.last != nil && w.last.tid == tid {
		return w.last
	}
	t := w.threads[tid]
	if t == nil {
		t = w.add(tid, w.newProc(tid))
	}
	w.last = t
	return t
}

// newProc returns a process of which nothing is known.
func (w *world) newProc(pid int32) *proc {
	p := &proc{
		pid: pid, vpid: pid, sid: -1, pgid: -1, vpgid: -1, start: oldStart,
		uid: noID, gid: noID, loginuid: noID, root: "/",
	}
	if n := len(w.tables); n > 0 {
		p.fds, w.tables = w.tables[n-1], w.tables[:n-1]
	} else {
		p.fds = &fdTable{budget: &w.fds}
	}
	return p
}

// add makes a thread of p.
func (w *world) add(tid int32, p *proc) *thread {
	p.threads++ // first: the old one may be p's last
	if old := w.threads[tid]; old != nil {
		w.remove(old)
	}
	if len(w.threads) >= maxThreads {
		return &thread{tid: tid, vtid: tid, p: p}
	}
	var t *thread
	if n := len(w.spare); n > 0 {
		t, w.spare = w.spare[n-1], w.spare[:n-1]
		*t = thread{entryBody: t.entryBody[:0]}
	} else {
		t = new(thread)
	}
	t.tid, t.vtid, t.p = tid, tid, p
	w.threads[tid] = t
	return t
}

// remove takes a thread away, and its process with the last one.
func (w *world) remove(t *thread) {
	if w.threads[t.tid] != t {
		return
	}
	delete(w.threads, t.tid)
	if w.last == t {
		w.last = nil
	}
	if len(w.spare) < 256 {
		w.spare = append(w.spare, t)
	}
	p := t.p
	if p.threads--; p.threads > 0 {
		return
	}
	p.dead = true
	if p.reaper == nil || p.reaper.dead {
		p.reaper = p.livingAncestor()
	}
	if len(w.tables) < 64 {
		p.fds.reset()
		w.tables = append(w.tables, p.fds)
	} else {
		p.fds.free()
	}
	p.fds = nil
}

// livingAncestor is the process that inherits p's children if the capture does
// not name it. As every reaper is alive when it becomes one, the walk from
// reaper to reaper ends.
func (p *proc) livingAncestor() *proc {
	q := p.parent
	for n := 0; q != nil && (q.dead || q == p); n++ {
		if q = q.parent; n == 100 { // files can claim anything
			return nil
		}
	}
	return q
}

// process returns the process with that pid, nil if it is not known.
func (w *world) process(pid int32) *proc {
	if t := w.threads[pid]; t != nil && t.p.pid == pid {
		return t.p
	}
	return nil
}

// link looks up the parents of processes in lists.
func (w *world) link() {
	for _, t := range w.threads {
		if p := t.p; p.parent == nil && p.ppid > 0 {
			if q := w.threads[p.ppid]; q != nil && q.p != p {
				p.parent, p.ppid = q.p, q.p.pid
			}
		}
	}
}

// parentPID finds p's parent now: children of a dead process move to its
// reaper.
func (p *proc) parentPID() int32 {
	for p.parent != nil && p.parent.dead {
		p.parent = p.parent.reaper
		p.ppid = 1
	}
	if p.parent != nil {
		return p.parent.pid
	}
	return p.ppid
}

// header is the header of an event of t.
func (t *thread) header(ts uint64, cpu uint16) event.Header {
	p := t.p
	return event.Header{
		Time: ts, CPU: cpu, Syscall: event.NoSyscall,
		TID: uint32(t.tid), PID: uint32(p.pid), VTID: uint32(t.vtid), PPID: uint32(p.parentPID()),
		UID: p.uid, GID: p.gid, LoginUID: p.loginuid,
		Cgroup: p.cgroup, Start: p.start, ExecID: p.execID,
	}
}

// inherit copies from q the state that a new process inherits from its parent.
func (p *proc) inherit(q *proc) {
	p.sid, p.pgid, p.vpgid = q.sid, q.pgid, q.vpgid
	p.uid, p.gid, p.loginuid, p.tty = q.uid, q.gid, q.loginuid, q.tty
	p.inh, p.perm, p.eff = q.inh, q.perm, q.eff
	p.cwd, p.root, p.cgroups, p.cgroup = q.cwd, q.root, q.cgroups, q.cgroup
	p.execID = q.execID
	if q.fds != nil {
		p.fds.copyFrom(q.fds)
	}
}

// setCgroups notes the cgroups, and gives them a number for headers, in which
// a change of it says that the process has moved.
func (p *proc) setCgroups(s string) {
	if s == p.cgroups {
		return
	}
	p.cgroups = s
	const prime = 1099511628211 // FNV-1a
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * prime
	}
	p.cgroup = h
}
