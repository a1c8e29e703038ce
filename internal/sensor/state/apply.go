package state

import (
	"math"
	"strings"
	"unsafe"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// checkHeader compares the entry with the header that the kernel puts into
// every event, and so corrects for lost events.
func (t *Table) checkHeader(p *Process, h *event.Header) {
	if p.UID != h.UID || p.GID != h.GID || p.LoginUID != h.LoginUID {
		p.UID, p.GID, p.LoginUID = h.UID, h.GID, h.LoginUID
		t.changed(p)
	}
	if p.PPID != int32(h.PPID) {
		t.reparent(p, int32(h.PPID))
	}
	if p.adopt {
		p.adopt, p.ExecID, p.CgroupID = false, h.ExecID, h.Cgroup
	}
	// Threads that die by an exec may be heard of after it.
	if p.ExecID != h.ExecID && h.Time > p.execed && h.Kind != event.KindExecve && h.Kind != event.KindExecveat {
		t.refetch(p, h) // its exec was lost
	}
	p.MntNS, p.PIDNS = h.MntNS, h.PIDNS
	if h.TID != h.PID {
		return
	}
	// Only the main thread speaks for the process: cgroup v2 may put threads
	// into cgroups of their own.
	if p.CgroupID != h.Cgroup && h.Kind != event.KindProcmove {
		t.moveCgroup(p, h.Cgroup) // its event was lost
	}
	// The event of a fork into a new pid namespace has the number in the
	// parent's.
	if p.VPID != int32(h.VTID) && h.VTID != 0 && p.Known {
		p.VPID = int32(h.VTID)
		t.changedTree(p)
	}
}

// applyState is Apply for the kinds that tell of changes.
func (t *Table) applyState(p *Process, v *event.View, timeNS uint64) {
	switch k := v.Kind(); k {
	case event.KindProcfork:
		t.applyFork(p, v, timeNS)
	case event.KindExecve:
		t.applyExec(p, v, execveExtras, timeNS)
	case event.KindExecveat:
		t.applyExec(p, v, execveatExtras, timeNS)
	case event.KindProcmove:
		t.applyMove(p, v)
	case event.KindProcexit:
		t.applyExit(p, v)
	case event.KindChdir:
		t.applyChdir(p, v, event.ChdirCwd, v.Str, event.ChdirPath)
	case event.KindFchdir:
		t.applyChdir(p, v, event.FchdirCwd, filePath(v), event.FchdirFile)
	case event.KindChroot:
		t.applyChroot(p, v)
	case event.KindSetsid:
		t.applySession(p, v, event.SetsidSid)
	case event.KindSetpgid:
		t.applySetpgid(p, v)
	case event.KindSetrlimit:
		t.applyLimit(p, v, event.SetrlimitResource, event.SetrlimitCur)
	case event.KindPrlimit:
		if pid := int32(v.Int(event.PrlimitPid)); pid != 0 && pid != p.PID {
			if p.VPID != p.PID { // a pid of its pid namespace
				return
			}
			if p = t.processes[pid]; p == nil {
				return
			}
		}
		t.applyLimit(p, v, event.PrlimitResource, event.PrlimitNewcur)
	default:
		if i := credSlots[k]; i != 0 && v.Header().Res >= 0 {
			caps := [3]uint64{v.Uint(i), v.Uint(i + 1), v.Uint(i + 2)}
			if k == event.KindSetns && entersMounts(v) {
				t.setDir(p, "/")
				t.changed(p)
			}
			if k == event.KindUnshare || k == event.KindSetns {
				p.joined = &caps
				return
			}
			t.setCaps(p, caps)
		}
	}
}

// cloneNewNS is CLONE_NEWNS in Falco's numbers (libs: PPM_CL_CLONE_NEWNS).
const cloneNewNS = 1 << 5

// entersMounts says whether a setns of the main thread went into a mount
// namespace, which leads to its root (commit_nsset of kernel/nsproxy.c). Without a
// type, the descriptor's inode tells: its number is that of the namespace.
func entersMounts(v *event.View) bool {
	h := v.Header()
	if h.TID != h.PID {
		return false
	}
	var f event.FileInfo
	return v.Uint(event.SetnsNstype)&cloneNewNS != 0 || h.MntNS != 0 && v.FileInfo(event.SetnsFile, &f) && f.Ino == uint64(h.MntNS)
}

// rlimitNoFile is RLIMIT_NOFILE (include/uapi/asm-generic/resource.h).
const rlimitNoFile = 7

// applyLimit takes a new limit of descriptors. A call that only asks has -1.
func (t *Table) applyLimit(p *Process, v *event.View, resource, cur int) {
	if v.Header().Res >= 0 && v.Uint(resource) == rlimitNoFile && v.Int(cur) >= 0 {
		p.FDLimit = uint64(v.Int(cur))
	}
}

// setCaps sets capabilities that have taken effect. A new user namespace grants
// all capabilities, but only inside it, and rules ask who entered it: such an
// event is evaluated with the old capabilities, and the process's next event
// with the new.
func (t *Table) setCaps(p *Process, caps [3]uint64) {
	p.CapInheritable, p.CapPermitted, p.CapEffective = caps[0], caps[1], caps[2]
	p.joined = nil
	t.changed(p)
}

// applyFork makes the child's entry: a copy of its parent's. Nothing is
// copied but words; strings are shared.
func (t *Table) applyFork(p *Process, v *event.View, timeNS uint64) {
	if v.Int(event.ProcforkVpid) != v.Int(event.ProcforkVtid) {
		p.Threads++
		return
	}
	h, pid, start := v.Header(), int32(v.Int(event.ProcforkChild)), v.Uint(event.ProcforkStart)
	if c := t.processes[pid]; c != nil && c.Start >= start {
		return // the snapshot has it, or a later process of that pid
	}
	c := t.newProcess(pid)
	if c == nil {
		return
	}
	c.inherit(p)
	c.Container = t.containers.Share(p.Container)
	c.PPID, c.VPID = int32(v.Int(event.ProcforkPpid)), int32(v.Int(event.ProcforkVpid))
	c.SID, c.PGID, c.VPGID = int32(v.Int(event.ProcforkSid)), int32(v.Int(event.ProcforkPgid)), int32(v.Int(event.ProcforkVpgid))
	c.UID, c.GID = uint32(v.Uint(event.ProcforkUid)), uint32(v.Uint(event.ProcforkGid))
	c.Start, c.ForkTime = start, timeNS
	if h.Flags&event.Late != 0 && start != 0 {
		c.ForkTime = t.epoch(start, h.Time, timeNS)
	}
	if dir, ok := v.CWD(); ok { // at the fork; a late one does not tell the parent's
		t.setDir(c, dir)
	}
	c.seen = h.Time
	c.Threads = 1
	if ns := v.Uint(event.ProcforkPidnsInitStartTs); ns != 0 {
		c.PIDNSStart = t.epoch(ns, h.Time, timeNS)
	}
	if c.PPID == p.PID && !p.gone {
		t.link(c, p)
	}
	t.renumber(c)
}

// inherit copies from q the state that a child inherits from its parent.
func (p *Process) inherit(q *Process) {
	p.Known, p.Told = q.Known, q.Told
	p.Comm, p.Exe, p.ExePath, p.CWD, p.Root = q.Comm, q.Exe, q.ExePath, q.CWD, q.Root
	p.Args, p.Env, p.Cmdline = q.Args, q.Env, q.Cmdline
	p.LoginUID, p.TTY, p.FDLimit = q.LoginUID, q.TTY, q.FDLimit
	p.CapInheritable, p.CapPermitted, p.CapEffective = q.CapInheritable, q.CapPermitted, q.CapEffective
	p.ExeFlags, p.ExeIno, p.ExeCTime, p.ExeMTime = q.ExeFlags, q.ExeIno, q.ExeCTime, q.ExeMTime
	p.ExecID, p.ExecTime, p.PIDNSStart = q.ExecID, q.ExecTime, q.PIDNSStart
	p.VMSize, p.VMRSS, p.VMSwap = q.VMSize, q.VMRSS, q.VMSwap
	// With CLONE_INTO_CGROUP an event says otherwise.
	p.CgroupID, p.Cgroups = q.CgroupID, q.Cgroups
	p.MntNS, p.PIDNS = q.MntNS, q.PIDNS
}

// applyExec gives p its new image. A failed exec changes nothing.
func (t *Table) applyExec(p *Process, v *event.View, s execExtras, timeNS uint64) {
	h := v.Header()
	if h.Res < 0 {
		return
	}
	p.Known, p.Told, p.died = true, true, 0
	p.ExecID, p.ExecTime, p.Threads = h.ExecID, timeNS, 1
	p.execed = h.Time
	t.setString(&p.Comm, v, event.ExecveComm)
	t.setString(&p.Exe, v, event.ExecveExe)
	t.setString(&p.ExePath, v, event.ExecveTrustedExepath)
	t.setList(&p.Args, v, event.ExecveArgs)
	t.setList(&p.Env, v, event.ExecveEnv)
	if cwd, ok := v.Str(event.ExecveCwd); ok {
		t.setDir(p, cwd)
	}
	t.setCmdline(p)
	p.VPID, p.SID = int32(v.Int(s.vpid)), int32(v.Int(s.sid))
	p.PGID, p.VPGID = int32(v.Int(event.ExecvePgid)), int32(v.Int(event.ExecveVpgid))
	p.TTY, p.FDLimit = uint32(v.Uint(event.ExecveTty)), v.Uint(event.ExecveFdlimit)
	p.CapInheritable, p.CapPermitted, p.CapEffective = v.Uint(event.ExecveCapInheritable), v.Uint(event.ExecveCapPermitted), v.Uint(event.ExecveCapEffective)
	p.ExeFlags = event.ExeFlags(v.Uint(event.ExecveFlags))
	p.ExeIno, p.ExeCTime, p.ExeMTime = v.Uint(event.ExecveExeIno), v.Uint(event.ExecveExeInoCtime), v.Uint(event.ExecveExeInoMtime)
	p.VMSize, p.VMRSS, p.VMSwap = uint32(v.Uint(event.ExecveVmSize)), uint32(v.Uint(event.ExecveVmRss)), uint32(v.Uint(event.ExecveVmSwap))
	p.MajorFaults, p.MinorFaults = v.Uint(event.ExecvePgftMaj), v.Uint(event.ExecvePgftMin)
	p.MntNS, p.PIDNS = h.MntNS, h.PIDNS
	if started := v.Uint(s.start); p.ForkTime == 0 && started != 0 {
		p.ForkTime = t.epoch(started, h.Time, timeNS)
	}
	if cgroups, ok := v.Str(event.ExecveCgroups); ok {
		p.CgroupID = h.Cgroup
		t.setCgroups(p, cgroups)
	}
	t.changedTree(p)
}

// applyExit marks the process dead; Done removes it. Should another thread of
// it be heard of later, it comes back (see find).
func (t *Table) applyExit(p *Process, v *event.View) {
	h := v.Header()
	p.Threads = max(p.Threads-1, 0)
	if h.Flags&event.ThreadExit == 0 {
		p.Dead, p.died = true, h.Time
	}
}

// orphan gives p's children the parent that the kernel has chosen: the process
// of thread reaper, if it is the leader of one that is known. Otherwise they
// keep p until their own events tell.
func (t *Table) orphan(p *Process, reaper int32) {
	q := t.Get(reaper)
	if q == nil || q == p {
		return
	}
	for c := p.child; c != nil; c = p.child {
		t.reparent(c, reaper)
		t.link(c, q)
		if c.parent == p { // cannot be, but must not loop
			return
		}
	}
}

// applyChdir sets the directory that the kernel reported, or, when it could
// not, the directory of the call's own argument.
func (t *Table) applyChdir(p *Process, v *event.View, cwd int, arg func(int) (string, bool), argSlot int) {
	if v.Header().Res < 0 {
		return
	}
	dir, ok := v.Str(cwd)
	if !ok || dir == "" {
		if dir, ok = arg(argSlot); !ok || dir == "" {
			return
		}
	}
	t.setDir(p, dir)
	t.changed(p)
}

func filePath(v *event.View) func(int) (string, bool) {
	return func(slot int) (string, bool) {
		var f event.FileInfo
		ok := v.FileInfo(slot, &f)
		return f.Path(), ok
	}
}

func (t *Table) applyChroot(p *Process, v *event.View) {
	if v.Header().Res < 0 {
		return
	}
	root, ok := v.Str(event.ChrootRoot)
	if !ok || root == "" {
		if root, ok = v.Str(event.ChrootPath); !ok {
			return
		}
	}
	p.Root = t.in.get(root)
	t.changed(p)
}

// applySession takes the session and groups that a call has led to, from three
// slots that begin at ids.
func (t *Table) applySession(p *Process, v *event.View, ids int) {
	if v.Header().Res < 0 {
		return
	}
	p.SID, p.PGID, p.VPGID = int32(v.Int(ids)), int32(v.Int(ids+1)), int32(v.Int(ids+2))
	t.changed(p)
}

// applySetpgid handles the two uses of setpgid: on the caller, whose ids after
// the call are in the event; and, as shells do, on a child.
func (t *Table) applySetpgid(p *Process, v *event.View) {
	if v.Header().Res < 0 {
		return
	}
	target := int32(v.Int(event.SetpgidPid))
	if target == 0 || target == p.VPID {
		t.applySession(p, v, event.SetpgidSid)
		return
	}
	c := p.child
	for c != nil && c.VPID != target {
		c = c.older
	}
	if c == nil {
		return
	}
	group := int32(v.Int(event.SetpgidPgid))
	if group == 0 {
		group = target
	}
	c.VPGID, c.PGID = group, group
	if c.InPIDNS() {
		c.PGID = t.hostGroup(c, group)
	}
	t.changed(c)
}

// hostGroup is the host's number of the process group that has the number
// group in c's pid namespace: that of c itself, or of a sibling.
func (t *Table) hostGroup(c *Process, group int32) int32 {
	if c.VPID == group {
		return c.PID
	}
	for s := c.parent.child; s != nil; s = s.older {
		if s.VPID == group {
			return s.PID
		}
	}
	return -1
}

// applyMove follows a process to another cgroup. Its container may be another
// one then (a runtime moves the process that it starts).
func (t *Table) applyMove(p *Process, v *event.View) {
	p.CgroupID = v.Header().Cgroup
	if cgroups, ok := v.Str(event.ProcmoveCgroups); ok {
		t.setCgroups(p, cgroups)
	}
}

// moveCgroup follows a process by asking /proc.
func (t *Table) moveCgroup(p *Process, id uint64) {
	p.CgroupID = id
	if t.proc == nil {
		return
	}
	if cgroups, ok := t.proc.cgroups(p.PID); ok {
		t.setCgroups(p, cgroups)
	}
}

// setCgroups sets p's cgroups and, from them, its container.
func (t *Table) setCgroups(p *Process, cgroups string) {
	if p.Cgroups == cgroups {
		return
	}
	p.Cgroups = t.in.get(cgroups)
	old := p.Container
	p.Container = t.containers.Acquire(p.Cgroups)
	t.containers.Release(old)
	t.changed(p)
}

func (t *Table) setString(dst *string, v *event.View, slot int) {
	s, _ := v.Str(slot)
	*dst = t.in.same(*dst, s)
}

// setList is setString for a NUL-separated list, whose last entry may lack its
// NUL when it was cut.
func (t *Table) setList(dst *string, v *event.View, slot int) {
	s, _ := v.Str(slot)
	t.setListString(dst, s)
}

func (t *Table) setListString(dst *string, s string) {
	if s != "" && s[len(s)-1] != 0 {
		t.buf = append(append(t.buf[:0], s...), 0)
		s = unsafe.String(unsafe.SliceData(t.buf), len(t.buf))
	}
	*dst = t.in.same(*dst, s)
}

// setDir sets the current directory to dir, relative to the present one if it
// is not absolute.
func (t *Table) setDir(p *Process, dir string) {
	switch {
	case strings.HasPrefix(dir, "/"):
		t.buf = append(t.buf[:0], dir...)
	case p.CWD == "":
		return
	default:
		t.buf = append(append(t.buf[:0], p.CWD...), dir...)
		t.buf = cleanPath(t.buf)
	}
	if n := len(t.buf); n == 0 || t.buf[n-1] != '/' {
		t.buf = append(t.buf, '/')
	}
	p.CWD = t.in.same(p.CWD, unsafe.String(unsafe.SliceData(t.buf), len(t.buf)))
}

// cleanPath resolves ".", ".." and doubled slashes of an absolute path in place.
func cleanPath(b []byte) []byte {
	out := b[:0]
	for i := 0; i < len(b); {
		j := i
		for j < len(b) && b[j] != '/' {
			j++
		}
		switch part := b[i:j]; {
		case len(part) == 0 || string(part) == ".":
		case string(part) == "..":
			for len(out) > 0 && out[len(out)-1] != '/' {
				out = out[:len(out)-1]
			}
			out = out[:max(len(out)-1, 0)]
		default:
			out = append(append(out, '/'), part...)
		}
		i = j + 1
	}
	if len(out) == 0 {
		out = append(out, '/')
	}
	return out
}

// setCmdline builds proc.cmdline: the name and the arguments, joined by blanks.
func (t *Table) setCmdline(p *Process) {
	if p.Args == "" {
		p.Cmdline = p.Comm
		return
	}
	t.buf = append(append(t.buf[:0], p.Comm...), ' ')
	at := len(t.buf)
	t.buf = append(t.buf, p.Args[:len(p.Args)-1]...)
	for i := at; i < len(t.buf); i++ {
		if t.buf[i] == 0 {
			t.buf[i] = ' '
		}
	}
	p.Cmdline = t.in.same(p.Cmdline, unsafe.String(unsafe.SliceData(t.buf), len(t.buf)))
}

// epoch turns a time of the events' clock into ns since the epoch, by an event
// whose time is known in both. Captures' clock is the epoch already, and some
// times of the probe are.
func (t *Table) epoch(ns, headerTime, timeNS uint64) uint64 {
	if ns > math.MaxInt64/100 { // more than 2.9 years: not a time since boot
		return ns + uint64(t.redated)
	}
	return ns + (timeNS - headerTime)
}
