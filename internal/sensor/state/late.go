package state

import "github.com/peregrine-sec/peregrine/internal/sensor/event"

// applyLate takes the fork or the exec of a process of which the kernel tells
// late: before the next event of the process or, of a fork, of its parent. What
// other processes did meanwhile is known already, so the headers' facts about
// the parent are old, and it may have gone. The parent itself is as it was at the
// fork. The result is the process that forked, or the one that made the exec.
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
		if p == nil || p.gone {
			return t.stranger(h) // the child's next event finds it in /proc
		}
		t.applyFork(p, v, timeNS)
		return p
	}
	if p == nil {
		if p = t.newLate(v, timeNS); p == nil {
			return t.stranger(h)
		}
	} else if p.gone || h.Time <= p.execed || h.Time < p.fresh {
		return p
	}
	t.applyExec(p, v, &execSlots, timeNS)
	t.renumber(p)
	return p
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
	p.PIDNSStart = t.epoch(v.Uint(execPIDNSStart), h.Time, timeNS)
	if q := t.Get(p.PPID); q != nil && q.Start <= p.Start {
		t.link(p, q)
	}
	return p
}
