package state

import "github.com/peregrine-sec/peregrine/internal/sensor/event"

// applyLate takes the fork or the exec of a process of which the kernel tells
// late: before the next event of the process or, of a fork, of its parent. The
// result is the process that forked, or the one that made the exec.
func (t *Table) applyLate(v *event.View, timeNS uint64) *Process {
	h := v.Header()
	p := t.processes[int32(h.PID)]
	if p != nil && !p.is(h.Start) {
		if h.Start < p.Start {
			return t.stranger(h)
		}
		p = nil // an earlier process of that pid, whose end was lost
	}
	if h.Kind == event.KindProcfork {
		return t.applyLateFork(p, v, timeNS)
	}
	if p == nil {
		if p = t.newLate(v, timeNS); p == nil {
			return t.stranger(h)
		}
	} else if p.gone || h.Time <= p.execed || h.Time < p.fresh {
		return p
	}
	t.checkLate(p, h)
	t.applyExec(p, v, execveExtras, timeNS)
	t.renumber(p)
	return p
}

// applyLateFork takes a fork by p, which is nil if the table does not know it. The
// process has had no event since, so it is as it was then, even if it has ended.
func (t *Table) applyLateFork(p *Process, v *event.View, timeNS uint64) *Process {
	h := v.Header()
	if p == nil {
		if p = t.find(v, timeNS); p == t.scratch {
			return p
		}
	}
	if !p.gone {
		if !p.Known && !p.asked {
			t.refetch(p, h)
		}
		if p.joined != nil {
			t.setCaps(p, *p.joined)
		}
		t.checkLate(p, h)
	}
	t.applyFork(p, v, timeNS)
	return p
}

// checkLate is checkHeader, but for the parent: that may be another one by now.
func (t *Table) checkLate(p *Process, h *event.Header) {
	now := *h
	now.PPID = uint32(p.PPID)
	t.checkHeader(p, &now)
}

// newLate makes the entry of a process of which the first that is told is its
// exec. The kernel holds only execs back whose process sees all of its mount
// namespace, and has its parent's pid namespace.
func (t *Table) newLate(v *event.View, timeNS uint64) *Process {
	h := v.Header()
	p := t.newProcess(int32(h.PID))
	if p == nil {
		return nil
	}
	p.fromHeader(h)
	p.Root = "/"
	p.PIDNSStart = t.epoch(v.Uint(event.ExecvePidnsInitStartTs), h.Time, timeNS)
	if q := t.Get(p.PPID); q != nil && q.Start <= p.Start {
		t.link(p, q)
	}
	return p
}
