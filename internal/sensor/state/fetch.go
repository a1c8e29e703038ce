package state

import (
	"fmt"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// fetch makes an entry, from /proc, for a process without an earlier event; not
// Known if /proc has nothing. It returns nil when the table is full. seen is
// the time of the event that asks.
func (t *Table) fetch(pid int32, seen uint64) *Process {
	p := t.newProcess(pid)
	if p == nil {
		return nil
	}
	p.seen = seen
	t.read(p)
	return p
}

// refetch reads p's image again from /proc, when an event's header shows an
// image whose event the table has missed. Without an answer, p becomes unknown
// until its next exec.
func (t *Table) refetch(p *Process, h *event.Header) {
	t.read(p)
	p.adopt, p.ExecID, p.CgroupID = false, h.ExecID, h.Cgroup
}

// read fills p from /proc, if that has the process that p is.
func (t *Table) read(p *Process) {
	p.asked = true
	var f facts
	ok := t.proc != nil && t.proc.read(p.PID, &f) && (p.Start == 0 || p.Start-p.Start%tick == f.start)
	if !ok {
		t.stats.LookupsFailed++
		p.Known, p.Told = false, false
		p.Comm, p.Exe, p.ExePath, p.CWD, p.Root = "", "", "", "", ""
		p.Args, p.Env, p.Cmdline = "", "", ""
		t.changedTree(p)
		return
	}
	t.stats.Fetched++
	t.fill(p, &f)
}

// fill sets the fields read from /proc.
func (t *Table) fill(p *Process, f *facts) {
	p.Known, p.Told = true, false
	if p.Start == 0 {
		p.Start, p.coarse = f.start, true
	}
	p.fresh, p.adopt = f.time, true
	p.seen = max(p.seen, f.time)
	p.Comm, p.ExePath, p.Root = t.in.get(f.comm), t.in.get(f.exePath), t.in.get(f.root)
	t.setArgv(p, f.argv)
	t.setListString(&p.Env, f.env)
	t.setCmdline(p)
	if f.cwd != "" {
		t.setDir(p, f.cwd)
	}
	if p.PPID != f.ppid {
		t.unlink(p)
		p.PPID = f.ppid
	}
	p.VPID, p.SID, p.PGID, p.VPGID = f.vpid, f.sid, f.pgid, f.vpgid
	p.UID, p.GID, p.LoginUID = f.uid, f.gid, f.loginuid
	p.CapInheritable, p.CapPermitted, p.CapEffective = f.capInh, f.capPrm, f.capEff
	p.TTY, p.FDLimit, p.Threads = f.tty, f.fdlimit, f.threads
	p.ExeFlags, p.ExeIno, p.ExeCTime, p.ExeMTime = f.exeFlags, f.exeIno, f.exeCTime, f.exeMTime
	p.VMSize, p.VMRSS, p.VMSwap = f.vmSize, f.vmRSS, f.vmSwap
	p.MajorFaults, p.MinorFaults = f.majFault, f.minFault
	p.MntNS, p.PIDNS = f.mntns, f.pidns
	p.ForkTime = f.epoch + p.Start
	t.setCgroups(p, f.cgroups)
	t.renumber(p)
	t.changedTree(p)
}

// setArgv splits a NUL-separated command line into Exe and Args.
func (t *Table) setArgv(p *Process, argv string) {
	n := 0
	for n < len(argv) && argv[n] != 0 {
		n++
	}
	p.Exe = t.in.same(p.Exe, argv[:n])
	t.setListString(&p.Args, argv[min(n+1, len(argv)):])
}

// ScanProc takes all processes from /proc: the fallback for the snapshot by
// the kernel's task iterator, and the start where there is no probe.
func (t *Table) ScanProc() error {
	if t.proc == nil {
		return fmt.Errorf("scan processes: the table has no /proc")
	}
	pids, err := t.proc.pids()
	if err != nil {
		return fmt.Errorf("scan processes: %w", err)
	}
	var f facts
	for _, pid := range pids {
		if !t.proc.read(pid, &f) {
			continue // it has gone meanwhile
		}
		p := t.Get(pid)
		if p == nil || (p.Start != 0 && p.Start-p.Start%tick != f.start) {
			if p = t.newProcess(pid); p == nil {
				return fmt.Errorf("scan processes: the table is full at %d processes", t.live)
			}
		}
		p.asked = true
		t.fill(p, &f)
	}
	return nil
}
