package state

import (
	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Task builds the task event that gives another table this one's state of p, as
// of now. Times since boot become times since the epoch by offset, as in
// captures; both are in ns.
func (p *Process) Task(b *event.Builder, now, offset uint64) []byte {
	start := p.Start
	switch {
	case p.coarse: // not the start that the headers of its events have
		start = 0
	case start != 0:
		start += offset
	}
	b.Start(event.KindTask, event.Header{
		Time: now, Syscall: event.NoSyscall, TID: uint32(p.PID), PID: uint32(p.PID), PPID: uint32(max(p.PPID, 0)), VTID: uint32(max(p.VPID, 0)),
		UID: p.UID, GID: p.GID, LoginUID: p.LoginUID,
		Cgroup: p.CgroupID, MntNS: p.MntNS, PIDNS: p.PIDNS, Start: start, ExecID: p.ExecID,
	})
	b.Str(event.TaskComm, p.Comm)
	b.Str(event.TaskExepath, p.ExePath)
	b.Str(event.TaskRoot, p.Root)
	b.Str(event.TaskArgv, p.Exe+"\x00"+p.Args)
	b.Str(event.TaskEnv, p.Env)
	b.Str(event.TaskCgroups, p.Cgroups)
	if p.CWD != "" {
		b.Str(event.TaskCwd, p.CWD)
	}
	for _, n := range [...]struct {
		slot int
		n    int64
	}{
		{event.TaskVtgid, int64(p.VPID)}, {event.TaskSid, int64(p.SID)}, {event.TaskPgid, int64(p.PGID)}, {event.TaskVpgid, int64(p.VPGID)}, {event.TaskNthreads, int64(p.Threads)},
	} {
		b.Int(n.slot, n.n)
	}
	inh, prm, eff := p.CapInheritable, p.CapPermitted, p.CapEffective
	if p.joined != nil {
		inh, prm, eff = p.joined[0], p.joined[1], p.joined[2]
	}
	for _, n := range [...]struct {
		slot int
		n    uint64
	}{
		{event.TaskCapPermitted, prm}, {event.TaskCapPermitted + 1, eff}, {event.TaskCapPermitted + 2, inh}, {event.TaskTty, uint64(p.TTY)}, {event.TaskFdlimit, p.FDLimit},
		{event.TaskFlags, uint64(p.ExeFlags)}, {event.TaskExeInoNum, p.ExeIno}, {event.TaskExeInoCtime, p.ExeCTime}, {event.TaskExeInoMtime, p.ExeMTime},
		{event.TaskVmSize, uint64(p.VMSize)}, {event.TaskVmRss, uint64(p.VMRSS)}, {event.TaskVmSwap, uint64(p.VMSwap)},
		{event.TaskPgftMaj, p.MajorFaults}, {event.TaskPgftMin, p.MinorFaults}, {event.TaskStartTime, p.ForkTime}, {event.TaskPidnsInitStartTs, p.PIDNSStart},
	} {
		b.Uint(n.slot, n.n)
	}
	return b.Finish()
}

// Accounts yields the useradded and groupadded events of the users and groups
// that are known of c now; they are borrowed until yield returns. It reads no
// files.
func (t *Table) Accounts(b *event.Builder, now uint64, c *container.Container, yield func([]byte)) {
	a, id := t.known(c)
	if a == nil {
		return
	}
	h := event.Header{Time: now, Syscall: event.NoSyscall}
	for _, u := range a.users {
		b.Start(event.KindUseradded, h)
		b.Uint(event.UseraddedUid, uint64(u.UID))
		b.Uint(event.UseraddedGid, uint64(u.GID))
		b.Str(event.UseraddedName, u.Name)
		b.Str(event.UseraddedHome, u.Home)
		b.Str(event.UseraddedShell, u.Shell)
		b.Str(event.UseraddedContainerId, id)
		yield(b.Finish())
	}
	for _, g := range a.groups {
		b.Start(event.KindGroupadded, h)
		b.Uint(event.GroupaddedGid, uint64(g.GID))
		b.Str(event.GroupaddedName, g.Name)
		b.Str(event.GroupaddedContainerId, id)
		yield(b.Finish())
	}
}

// known are the accounts of c as far as they have been read, with the name
// that events have for c; nil before that.
func (t *Table) known(c *container.Container) (*accounts, string) {
	if c == container.Host {
		return &t.users.host, ""
	}
	return t.users.by[c.ID], c.ID
}

// AccountsVersion changes with the results of Accounts for c.
func (t *Table) AccountsVersion(c *container.Container) uint64 {
	a, _ := t.known(c)
	if a == nil {
		return 0
	}
	return a.version
}
