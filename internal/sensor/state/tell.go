package state

import (
	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Task builds the task event that gives another table this one's state of p, as
// of now. Times since boot become times since the epoch by offset, as in
// captures; both are in ns.
func (p *Process) Task(b *event.Builder, now, offset uint64) []byte {
	s := &taskSlots
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
	b.Str(s.comm, p.Comm)
	b.Str(s.path, p.ExePath)
	b.Str(s.root, p.Root)
	b.Str(s.argv, p.Exe+"\x00"+p.Args)
	b.Str(s.env, p.Env)
	b.Str(s.cgroups, p.Cgroups)
	if p.CWD != "" {
		b.Str(s.cwd, p.CWD)
	}
	for _, n := range [...]struct {
		slot int
		n    int64
	}{
		{s.vpid, int64(p.VPID)}, {s.sid, int64(p.SID)}, {s.pgid, int64(p.PGID)}, {s.vpgid, int64(p.VPGID)}, {s.threads, int64(p.Threads)},
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
		{s.capPrm, prm}, {s.capPrm + 1, eff}, {s.capPrm + 2, inh}, {s.tty, uint64(p.TTY)}, {s.fdlimit, p.FDLimit},
		{s.flags, uint64(p.ExeFlags)}, {s.ino, p.ExeIno}, {s.ctime, p.ExeCTime}, {s.mtime, p.ExeMTime},
		{s.vmSize, uint64(p.VMSize)}, {s.vmRSS, uint64(p.VMRSS)}, {s.vmSwap, uint64(p.VMSwap)},
		{s.majFault, p.MajorFaults}, {s.minFault, p.MinorFaults}, {s.started, p.ForkTime}, {s.pidnsStart, p.PIDNSStart},
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
		s := &userSlots[0]
		b.Start(event.KindUseradded, h)
		b.Uint(s.uid, uint64(u.UID))
		b.Uint(s.gid, uint64(u.GID))
		b.Str(s.name, u.Name)
		b.Str(s.home, u.Home)
		b.Str(s.shell, u.Shell)
		b.Str(s.container, id)
		yield(b.Finish())
	}
	for _, g := range a.groups {
		s := &userSlots[event.KindGroupadded-event.KindUseradded]
		b.Start(event.KindGroupadded, h)
		b.Uint(s.gid, uint64(g.GID))
		b.Str(s.name, g.Name)
		b.Str(s.container, id)
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
