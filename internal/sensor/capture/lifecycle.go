package capture

import "github.com/peregrine-sec/peregrine/internal/sensor/event"

// Processes come and go by clone, exec and exit.

const (
	clThread = 1 << 13 // Falco's bits of clone flags
	clParent = 1 << 8

	// fresh is how long, in ns, a thread id is taken for the child of its
	// parent's or its own clone event: later, the id has been reused.
	fresh = 2_000_000_000
)

var (
	cloneSlots = event.KindClone.Info()
	clRes      = cloneSlots.Slot("res")
	clPID      = cloneSlots.Slot("pid")
	clPTID     = cloneSlots.Slot("ptid")
	clCWD      = cloneSlots.Slot("cwd")
	clCgroups  = cloneSlots.Slot("cgroups")
	clFlags    = cloneSlots.Slot("flags")
	clUID      = cloneSlots.Slot("uid")
	clGID      = cloneSlots.Slot("gid")
	clVTID     = cloneSlots.Slot("vtid")
	clVPID     = cloneSlots.Slot("vpid")
	clTID      = cloneSlots.Slot("tid")
	clExe      = cloneSlots.Slot("exe")
	clArgs     = cloneSlots.Slot("args")
	clComm     = cloneSlots.Slot("comm")
	clFDLimit  = cloneSlots.Slot("fdlimit")
	clPIDNS    = cloneSlots.Slot("pidns_init_start_ts")

	forkSlots = func() (s struct{ child, ppid, vpid, vtid, sid, pgid, vpgid, start, flags, uid, gid, cgroup, pidns int }) {
		for name, dst := range map[string]*int{
			"child": &s.child, "ppid": &s.ppid, "vpid": &s.vpid, "vtid": &s.vtid, "sid": &s.sid, "pgid": &s.pgid,
			"vpgid": &s.vpgid, "start": &s.start, "flags": &s.flags, "uid": &s.uid, "gid": &s.gid, "cgroup": &s.cgroup,
			"pidns_init_start_ts": &s.pidns,
		} {
			*dst = event.KindProcfork.Info().Slot(name)
		}
		return s
	}()
)

func isClone(k event.Kind) bool {
	switch k {
	case event.KindClone, event.KindClone3, event.KindFork, event.KindVfork:
		return true
	}
	return false
}

// clone handles the return of a clone, which a capture has twice: in the
// parent with the child's thread id, which is one of its own pid namespace;
// and in the child with 0. Whichever comes first makes the child. It returns
// the thread of the event.
func (r *Reader) clone(e *rawEvent) *thread {
	w, v := &r.world, &r.vals
	res, flags := v.int(clRes), v.num(clFlags)
	if res != 0 {
		t := w.get(e.tid)
		t.p.refresh(r)
		if res > 0 && t.vtid == t.tid {
			r.spawn(t, int32(res), int32(res), flags, e)
		}
		return t
	}
	t := w.threads[e.tid]
	if t == nil || t.stale(e.ts) {
		vtid := e.tid
		if v.has(clVTID) {
			vtid = int32(v.int(clVTID))
		}
		if flags&clThread != 0 && v.int(clPID) != 0 {
			r.spawn(w.get(int32(v.int(clPID))), e.tid, vtid, flags, e)
		} else {
			r.spawn(w.get(int32(v.int(clPTID))), e.tid, vtid, flags, e)
		}
		t = w.get(e.tid)
	}
	if v.has(clVTID) {
		t.vtid, t.p.vpid = int32(v.int(clVTID)), int32(v.int(clVPID))
	}
	t.p.refresh(r)
	return t
}

// refresh updates the caller from the parameters of a clone or exec.
func (p *proc) refresh(r *Reader) {
	v := &r.vals
	if v.has(clUID) && v.has(clGID) {
		p.uid, p.gid = uint32(v.num(clUID)), uint32(v.num(clGID))
	}
	if v.has(clCWD) {
		p.cwd = r.paths.get(trimSlash(v.text(clCWD)))
	}
	if v.has(clCgroups) {
		p.setCgroups(r.paths.get(v.v[clCgroups]))
	}
}

// stale says whether t is so old that a clone at ts cannot have made it.
func (t *thread) stale(ts uint64) bool { return t.born == 0 || ts > t.born+fresh }

// spawn makes thread tid, of parent's process or of a new one, whose fork it
// puts before the event.
func (r *Reader) spawn(parent *thread, tid, vtid int32, flags uint64, e *rawEvent) {
	w := &r.world
	if old := w.threads[tid]; old != nil && !old.stale(e.ts) {
		return
	}
	q, h := parent.p, parent.header(e.ts, e.cpu)
	if flags&clThread != 0 {
		t := w.add(tid, q)
		t.vtid, t.born = vtid, e.ts
		return
	}
	p := w.newProc(tid)
	p.inherit(q)
	p.vpid, p.start = vtid, e.ts
	p.parent, p.ppid = q, q.pid
	if flags&clParent != 0 {
		p.parent, p.ppid = q.parent, q.parentPID()
	}
	t := w.add(tid, p)
	t.vtid, t.born = vtid, e.ts
	r.emitFork(h, p, flags)
}

func (r *Reader) emitFork(h event.Header, p *proc, flags uint64) {
	b, s := &r.fork, &forkSlots
	b.Start(event.KindProcfork, h)
	b.Int(s.child, int64(p.pid))
	b.Int(s.ppid, int64(p.parentPID()))
	b.Int(s.vpid, int64(p.vpid))
	b.Int(s.vtid, int64(p.vpid))
	b.Int(s.sid, int64(p.sid))
	b.Int(s.pgid, int64(p.pgid))
	b.Int(s.vpgid, int64(p.vpgid))
	b.Uint(s.start, p.start)
	b.Uint(s.flags, flags)
	b.Uint(s.uid, uint64(p.uid))
	b.Uint(s.gid, uint64(p.gid))
	b.Uint(s.cgroup, p.cgroup)
	r.first = b.Finish()
}

type execSlots struct {
	res, exe, pid, ptid, cwd, comm, cgroups, tty, vpgid, loginuid, inh, perm, eff, uid, path, pgid, gid, filename int
	sid, ppid, start, vpid                                                                                        int
}

var exSlots = func() (s execSlots) {
	for name, dst := range map[string]*int{
		"res": &s.res, "exe": &s.exe, "pid": &s.pid, "ptid": &s.ptid, "cwd": &s.cwd, "comm": &s.comm, "cgroups": &s.cgroups,
		"tty": &s.tty, "vpgid": &s.vpgid, "loginuid": &s.loginuid, "cap_inheritable": &s.inh, "cap_permitted": &s.perm,
		"cap_effective": &s.eff, "uid": &s.uid, "trusted_exepath": &s.path, "pgid": &s.pgid, "gid": &s.gid,
		"filename": &s.filename, "sid": &s.sid, "ppid": &s.ppid, "start": &s.start, "vpid": &s.vpid,
	} {
		*dst = event.KindExecve.Info().Slot(name)
	}
	return s
}()

// exec updates the process from a successful exec.
func (r *Reader) exec(t *thread) {
	v, p, s := &r.vals, t.p, &exSlots
	if v.int(s.res) < 0 {
		return
	}
	p.execID++
	p.fds.exec()
	take := func(dst *uint32, slot int) {
		if v.has(slot) {
			*dst = uint32(v.num(slot))
		}
	}
	take(&p.uid, s.uid)
	take(&p.gid, s.gid)
	take(&p.loginuid, s.loginuid)
	take(&p.tty, s.tty)
	if v.has(s.eff) {
		p.inh, p.perm, p.eff = v.num(s.inh), v.num(s.perm), v.num(s.eff)
	}
	if v.has(s.vpgid) {
		p.vpgid = int32(v.int(s.vpgid))
	}
	if v.has(s.pgid) {
		p.pgid = int32(v.int(s.pgid))
	} else if p.vpid == p.pid {
		p.pgid = p.vpgid
	}
	if v.has(s.cwd) {
		p.cwd = r.paths.get(trimSlash(v.text(s.cwd)))
	}
	if v.has(s.cgroups) {
		p.setCgroups(r.paths.get(v.v[s.cgroups]))
	}
	if q := r.world.threads[int32(v.int(s.ptid))]; p.parent == nil && q != nil && q.p != p {
		p.parent, p.ppid = q.p, q.p.pid
	}
}

// completeExec adds the parameters that the kernel would fill in and old files
// lack.
func (r *Reader) completeExec(b *event.Builder, t *thread) {
	v, p, s := &r.vals, t.p, &exSlots
	b.Int(s.sid, int64(p.sid))
	b.Int(s.ppid, int64(p.parentPID()))
	if p.start != oldStart {
		b.Uint(s.start, p.start)
	}
	b.Int(s.vpid, int64(p.vpid))
	for _, m := range [...]struct {
		slot  int
		value uint64
	}{
		{s.uid, uint64(p.uid)}, {s.gid, uint64(p.gid)}, {s.loginuid, uint64(p.loginuid)}, {s.tty, uint64(p.tty)},
		{s.vpgid, uint64(int64(p.vpgid))}, {s.pgid, uint64(int64(p.pgid))},
		{s.inh, p.inh}, {s.perm, p.perm}, {s.eff, p.eff},
	} {
		if !v.has(m.slot) {
			b.Uint(m.slot, m.value)
		}
	}
	if !v.has(s.comm) {
		exe := v.text(s.exe)
		for i := len(exe) - 1; i >= 0; i-- {
			if exe[i] == '/' {
				exe = exe[i+1:]
				break
			}
		}
		b.Bytes(s.comm, exe[:min(len(exe), 15)])
	}
	if !v.has(s.cgroups) {
		b.Str(s.cgroups, p.cgroups)
	}
	if !v.has(s.path) {
		switch exe := v.text(s.exe); {
		case v.has(s.filename):
			b.Bytes(s.path, r.join(p.cwd, v.text(s.filename)))
		case len(exe) > 0 && exe[0] == '/':
			b.Bytes(s.path, exe)
		}
	}
}

var exitReaper = event.KindProcexit.Info().Slot("reaper_tid")

// exit notes the new parent of the children of a process that ends with t, and
// says whether other threads of it live on. The thread goes once the event has
// been used.
func (r *Reader) exit(t *thread) (threadOnly bool) {
	r.leaving = t
	if t.p.threads > 1 {
		return true
	}
	if q := r.world.threads[int32(r.vals.int(exitReaper))]; q != nil && q.p != t.p {
		t.p.reaper = q.p
	} else if q := r.world.process(1); q != nil && q != t.p {
		t.p.reaper = q
	}
	return false
}
