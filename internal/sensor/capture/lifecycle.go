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
	res, flags := v.int(event.CloneRes), v.num(event.CloneFlags)
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
		if v.has(event.CloneVtid) {
			vtid = int32(v.int(event.CloneVtid))
		}
		if flags&clThread != 0 && v.int(event.ClonePid) != 0 {
			r.spawn(w.get(int32(v.int(event.ClonePid))), e.tid, vtid, flags, e)
		} else {
			r.spawn(w.get(int32(v.int(event.ClonePtid))), e.tid, vtid, flags, e)
		}
		t = w.get(e.tid)
	}
	if v.has(event.CloneVtid) {
		t.vtid, t.p.vpid = int32(v.int(event.CloneVtid)), int32(v.int(event.CloneVpid))
	}
	t.p.refresh(r)
	return t
}

// refresh updates the caller from the parameters of a clone or exec.
func (p *proc) refresh(r *Reader) {
	v := &r.vals
	if v.has(event.CloneUid) && v.has(event.CloneGid) {
		p.uid, p.gid = uint32(v.num(event.CloneUid)), uint32(v.num(event.CloneGid))
	}
	if v.has(event.CloneCwd) {
		p.cwd = r.paths.get(trimSlash(v.text(event.CloneCwd)))
	}
	if v.has(event.CloneCgroups) {
		p.setCgroups(r.paths.get(v.v[event.CloneCgroups]))
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
	b := &r.fork
	b.Start(event.KindProcfork, h)
	b.Int(event.ProcforkChild, int64(p.pid))
	b.Int(event.ProcforkPpid, int64(p.parentPID()))
	b.Int(event.ProcforkVpid, int64(p.vpid))
	b.Int(event.ProcforkVtid, int64(p.vpid))
	b.Int(event.ProcforkSid, int64(p.sid))
	b.Int(event.ProcforkPgid, int64(p.pgid))
	b.Int(event.ProcforkVpgid, int64(p.vpgid))
	b.Uint(event.ProcforkStart, p.start)
	b.Uint(event.ProcforkFlags, flags)
	b.Uint(event.ProcforkUid, uint64(p.uid))
	b.Uint(event.ProcforkGid, uint64(p.gid))
	b.Uint(event.ProcforkCgroup, p.cgroup)
	r.first = b.Finish()
}

// exec updates the process from a successful exec.
func (r *Reader) exec(t *thread) {
	v, p := &r.vals, t.p
	if v.int(event.ExecveRes) < 0 {
		return
	}
	p.execID++
	p.fds.exec()
	take := func(dst *uint32, slot int) {
		if v.has(slot) {
			*dst = uint32(v.num(slot))
		}
	}
	take(&p.uid, event.ExecveUid)
	take(&p.gid, event.ExecveGid)
	take(&p.loginuid, event.ExecveLoginuid)
	take(&p.tty, event.ExecveTty)
	if v.has(event.ExecveCapEffective) {
		p.inh, p.perm = v.num(event.ExecveCapInheritable), v.num(event.ExecveCapPermitted)
		p.eff = v.num(event.ExecveCapEffective)
	}
	if v.has(event.ExecveVpgid) {
		p.vpgid = int32(v.int(event.ExecveVpgid))
	}
	if v.has(event.ExecvePgid) {
		p.pgid = int32(v.int(event.ExecvePgid))
	} else if p.vpid == p.pid {
		p.pgid = p.vpgid
	}
	if v.has(event.ExecveCwd) {
		p.cwd = r.paths.get(trimSlash(v.text(event.ExecveCwd)))
	}
	if v.has(event.ExecveCgroups) {
		p.setCgroups(r.paths.get(v.v[event.ExecveCgroups]))
	}
	if q := r.world.threads[int32(v.int(event.ExecvePtid))]; p.parent == nil && q != nil && q.p != p {
		p.parent, p.ppid = q.p, q.p.pid
	}
}

// completeExec adds the parameters that the kernel would fill in and old files
// lack.
func (r *Reader) completeExec(b *event.Builder, t *thread) {
	v, p := &r.vals, t.p
	b.Int(event.ExecveSid, int64(p.sid))
	b.Int(event.ExecvePpid, int64(p.parentPID()))
	if p.start != oldStart {
		b.Uint(event.ExecveStart, p.start)
	}
	b.Int(event.ExecveVpid, int64(p.vpid))
	for _, m := range [...]struct {
		slot  int
		value uint64
	}{
		{event.ExecveUid, uint64(p.uid)}, {event.ExecveGid, uint64(p.gid)}, {event.ExecveLoginuid, uint64(p.loginuid)},
		{event.ExecveTty, uint64(p.tty)}, {event.ExecveVpgid, uint64(int64(p.vpgid))}, {event.ExecvePgid, uint64(int64(p.pgid))},
		{event.ExecveCapInheritable, p.inh}, {event.ExecveCapPermitted, p.perm}, {event.ExecveCapEffective, p.eff},
	} {
		if !v.has(m.slot) {
			b.Uint(m.slot, m.value)
		}
	}
	if !v.has(event.ExecveComm) {
		exe := v.text(event.ExecveExe)
		for i := len(exe) - 1; i >= 0; i-- {
			if exe[i] == '/' {
				exe = exe[i+1:]
				break
			}
		}
		b.Bytes(event.ExecveComm, exe[:min(len(exe), 15)])
	}
	if !v.has(event.ExecveCgroups) {
		b.Str(event.ExecveCgroups, p.cgroups)
	}
	if !v.has(event.ExecveTrustedExepath) {
		switch exe := v.text(event.ExecveExe); {
		case v.has(event.ExecveFilename):
			b.Bytes(event.ExecveTrustedExepath, r.join(p.cwd, v.text(event.ExecveFilename)))
		case len(exe) > 0 && exe[0] == '/':
			b.Bytes(event.ExecveTrustedExepath, exe)
		}
	}
}

// exit notes the new parent of the children of a process that ends with t, and
// says whether other threads of it live on. The thread goes once the event has
// been used.
func (r *Reader) exit(t *thread) (threadOnly bool) {
	r.leaving = t
	if t.p.threads > 1 {
		return true
	}
	if q := r.world.threads[int32(r.vals.int(event.ProcexitReaperTid))]; q != nil && q.p != t.p {
		t.p.reaper = q.p
	} else if q := r.world.process(1); q != nil && q != t.p {
		t.p.reaper = q
	}
	return false
}
