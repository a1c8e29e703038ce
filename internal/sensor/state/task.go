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

func (t *Table) fillTask(p *Process, v *event.View, timeNS uint64) {
	h := v.Header()
	ppid := p.PPID
	p.fromHeader(h)
	if ppid != p.PPID {
		t.unlink(p)
	}
	p.Known, p.Told, p.asked, p.fresh = true, true, true, h.Time
	t.setString(&p.Comm, v, event.TaskComm)
	t.setString(&p.ExePath, v, event.TaskExepath)
	t.setString(&p.Root, v, event.TaskRoot)
	argv, _ := v.Str(event.TaskArgv)
	t.setArgv(p, argv)
	t.setList(&p.Env, v, event.TaskEnv)
	t.setCmdline(p)
	if cwd, ok := v.Str(event.TaskCwd); ok {
		t.setDir(p, cwd)
	}
	p.VPID, p.SID = int32(v.Int(event.TaskVtgid)), int32(v.Int(event.TaskSid))
	p.PGID, p.VPGID = int32(v.Int(event.TaskPgid)), int32(v.Int(event.TaskVpgid))
	p.joined = nil
	p.CapPermitted, p.CapEffective, p.CapInheritable = v.Uint(event.TaskCapPermitted), v.Uint(event.TaskCapPermitted+1), v.Uint(event.TaskCapPermitted+2)
	p.TTY, p.FDLimit, p.Threads = uint32(v.Uint(event.TaskTty)), v.Uint(event.TaskFdlimit), int32(v.Int(event.TaskNthreads))
	p.ExeFlags = event.ExeFlags(v.Uint(event.TaskFlags))
	p.ExeIno, p.ExeCTime, p.ExeMTime = v.Uint(event.TaskExeInoNum), v.Uint(event.TaskExeInoCtime), v.Uint(event.TaskExeInoMtime)
	p.VMSize, p.VMRSS, p.VMSwap = uint32(v.Uint(event.TaskVmSize)), uint32(v.Uint(event.TaskVmRss)), uint32(v.Uint(event.TaskVmSwap))
	p.MajorFaults, p.MinorFaults = v.Uint(event.TaskPgftMaj), v.Uint(event.TaskPgftMin)
	p.ForkTime = 0
	if started := max(v.Uint(event.TaskStartTime), v.Uint(event.TaskStart)); started != 0 {
		p.ForkTime = t.epoch(started, h.Time, timeNS)
	}
	if ns := v.Uint(event.TaskPidnsInitStartTs); ns != 0 {
		p.PIDNSStart = t.epoch(ns, h.Time, timeNS)
	}
	if cgroups, ok := v.Str(event.TaskCgroups); ok {
		t.setCgroups(p, cgroups)
	}
	t.changedTree(p)
}
