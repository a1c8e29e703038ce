package state

import "github.com/peregrine-sec/peregrine/internal/sensor/event"

// applyTask takes over one process of the snapshot. Its header is that of the
// process's main thread, at the time at which the snapshot came by.
func (t *Table) applyTask(v *event.View, timeNS uint64) *Process {
	h := v.Header()
	if h.TID != h.PID {
		return t.stranger(h)
	}
	p := t.processes[int32(h.PID)]
	switch {
	case p == nil:
	case p.is(h.Start):
		if p.gone || p.Dead || h.Time < p.fresh {
			return p // it has exited, or more is known
		}
	case h.Start < p.Start:
		return t.stranger(h)
	default:
		p = nil
	}
	if p == nil {
		if p = t.newProcess(int32(h.PID)); p == nil {
			return t.stranger(h)
		}
	}
	t.fillTask(p, v, timeNS)
	return p
}

var taskSlots = func() (s struct {
	pgid, vpgid, sid, comm, argv, path, flags, env, cwd, fdlimit, capPrm, ino, ctime, mtime, vmSize, vmRSS, vmSwap,
	majFault, minFault, vpid, pidnsStart, cgroups, root, started, start, tty, threads int
}) {
	for _, f := range []struct {
		dst  *int
		name string
	}{
		{&s.pgid, "pgid"}, {&s.vpgid, "vpgid"}, {&s.sid, "sid"}, {&s.comm, "comm"}, {&s.argv, "argv"},
		{&s.path, "exepath"}, {&s.flags, "flags"}, {&s.env, "env"}, {&s.cwd, "cwd"}, {&s.fdlimit, "fdlimit"},
		{&s.capPrm, "cap_permitted"}, {&s.ino, "exe_ino_num"}, {&s.ctime, "exe_ino_ctime"}, {&s.mtime, "exe_ino_mtime"},
		{&s.vmSize, "vm_size"}, {&s.vmRSS, "vm_rss"}, {&s.vmSwap, "vm_swap"}, {&s.majFault, "pgft_maj"},
		{&s.minFault, "pgft_min"}, {&s.vpid, "vtgid"}, {&s.pidnsStart, "pidns_init_start_ts"},
		{&s.cgroups, "cgroups"}, {&s.root, "root"}, {&s.tty, "tty"}, {&s.threads, "nthreads"},
		{&s.started, "start_time"}, {&s.start, "start"},
	} {
		*f.dst = slot(event.KindTask, f.name)
	}
	return s
}()

func (t *Table) fillTask(p *Process, v *event.View, timeNS uint64) {
	h, s := v.Header(), &taskSlots
	ppid := p.PPID
	p.fromHeader(h)
	if ppid != p.PPID {
		t.unlink(p)
	}
	p.Known, p.Told, p.asked, p.fresh = true, true, true, h.Time
	t.setString(&p.Comm, v, s.comm)
	t.setString(&p.ExePath, v, s.path)
	t.setString(&p.Root, v, s.root)
	argv, _ := v.Str(s.argv)
	t.setArgv(p, argv)
	t.setList(&p.Env, v, s.env)
	t.setCmdline(p)
	if cwd, ok := v.Str(s.cwd); ok {
		t.setDir(p, cwd)
	}
	p.VPID, p.SID = int32(v.Int(s.vpid)), int32(v.Int(s.sid))
	p.PGID, p.VPGID = int32(v.Int(s.pgid)), int32(v.Int(s.vpgid))
	p.joined = nil
	p.CapPermitted, p.CapEffective, p.CapInheritable = v.Uint(s.capPrm), v.Uint(s.capPrm+1), v.Uint(s.capPrm+2)
	p.TTY, p.FDLimit, p.Threads = uint32(v.Uint(s.tty)), v.Uint(s.fdlimit), int32(v.Int(s.threads))
	p.ExeFlags = event.ExeFlags(v.Uint(s.flags))
	p.ExeIno, p.ExeCTime, p.ExeMTime = v.Uint(s.ino), v.Uint(s.ctime), v.Uint(s.mtime)
	p.VMSize, p.VMRSS, p.VMSwap = uint32(v.Uint(s.vmSize)), uint32(v.Uint(s.vmRSS)), uint32(v.Uint(s.vmSwap))
	p.MajorFaults, p.MinorFaults = v.Uint(s.majFault), v.Uint(s.minFault)
	p.ForkTime = 0
	if started := max(v.Uint(s.started), v.Uint(s.start)); started != 0 {
		p.ForkTime = t.epoch(started, h.Time, timeNS)
	}
	if ns := v.Uint(s.pidnsStart); ns != 0 {
		p.PIDNSStart = t.epoch(ns, h.Time, timeNS)
	}
	if cgroups, ok := v.Str(s.cgroups); ok {
		t.setCgroups(p, cgroups)
	}
	t.changedTree(p)
}
