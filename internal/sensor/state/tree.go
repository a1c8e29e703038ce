package state

import "unsafe"

// The tree of processes. Links are made when they are first needed, since a
// snapshot may name children before parents, and are never cyclic. A parent
// that has died stays linked until the kernel's choice of a new one is known:
// from the exit event's reaper, or from the header of the child's next event.

// Parent is the process that started p or adopted it; nil if absent
// (init, kernel threads). It may be dead, or not Known. A parent that is not
// in the table is fetched.
func (t *Table) Parent(p *Process) *Process {
	if p.parent != nil || p.PPID <= 0 || p.gone {
		return p.parent
	}
	q := t.processes[p.PPID]
	if q == nil && t.proc != nil {
		q = t.fetch(p.PPID, p.seen)
	}
	// A parent that started later than its child is another process that has
	// got the parent's pid.
	if q == nil || (q.Start > p.Start && p.Start != 0) {
		return nil
	}
	t.link(p, q)
	return p.parent
}

// Ancestor is the nth ancestor of p: p itself for 0, its parent for 1; nil if p
// has fewer.
func (t *Table) Ancestor(p *Process, n int) *Process {
	for ; p != nil && n > 0; n-- {
		p = t.Parent(p)
	}
	return p
}

// link makes q the parent of p, unless p is an ancestor of q, which only
// events in disorder could claim.
func (t *Table) link(p, q *Process) {
	for a := q; a != nil; a = a.parent {
		if a == p {
			return
		}
	}
	t.unlink(p)
	p.parent = q
	p.older = q.child
	if q.child != nil {
		q.child.younger = p
	}
	q.child = p
}

// unlink takes p from its parent. A dead parent that was kept for its children
// goes with the last of them.
func (t *Table) unlink(p *Process) {
	q := p.parent
	if q == nil {
		return
	}
	if p.younger != nil {
		p.younger.older = p.older
	} else {
		q.child = p.older
	}
	if p.older != nil {
		p.older.younger = p.younger
	}
	p.parent, p.older, p.younger = nil, nil, nil
	if q.disposed && q.child == nil {
		t.recycle(q)
	}
}

// reparent gives p the parent with the given pid.
func (t *Table) reparent(p *Process, ppid int32) {
	t.unlink(p)
	p.PPID = ppid
	t.changedTree(p)
}

// changed marks p after a change of facts that only conditions about p itself
// can see.
func (t *Table) changed(p *Process) {
	t.generation++
	p.Generation = t.generation
}

// changedTree marks p and its descendants after a change that a descendant can
// see: of p's image, identity or parent. That is exact, and cheap where it is
// frequent: a process that has just been forked, or is about to exit, rarely
// has children.
func (t *Table) changedTree(p *Process) {
	t.changed(p)
	for c := p.child; c != nil; c = c.older {
		t.changedTree(c)
	}
}

// SessionLeader is the leader of p's session (proc.sname), as Falco finds it:
// the process whose pid is the session's id, for a process outside any pid
// namespace; otherwise, or when the leader has gone, the farthest ancestor in
// an unbroken line of the same session. It is p itself at least.
func (t *Table) SessionLeader(p *Process) *Process {
	return t.leader(p, p.SID, !p.InPIDNS(), func(q *Process) int32 { return q.SID })
}

// VPGroupLeader is the same for the process group (proc.vpgid.name), whose id
// is one of p's pid namespace.
func (t *Table) VPGroupLeader(p *Process) *Process {
	return t.leader(p, p.VPGID, !p.InPIDNS(), func(q *Process) int32 { return q.VPGID })
}

// PGroupLeader is the same for the process group as the host numbers it
// (proc.pgid.name).
func (t *Table) PGroupLeader(p *Process) *Process {
	return t.leader(p, p.PGID, true, func(q *Process) int32 { return q.PGID })
}

func (t *Table) leader(p *Process, id int32, direct bool, of func(*Process) int32) *Process {
	if id < 0 { // not known
		return p
	}
	if direct && id > 0 {
		if q := t.Get(id); q != nil && !q.Dead {
			return q
		}
	}
	l := p
	for q := t.Parent(p); q != nil && of(q) == id; q = t.Parent(q) {
		l = q
	}
	return l
}

// Freeze returns a copy of p with its ancestors, as they are now, that stays
// as it is when the table goes on, and about how many bytes it takes. Its
// container is the table's own.
func (t *Table) Freeze(p *Process) (*Process, int) {
	size := 0
	var first, last *Process
	for q := p; q != nil; q = t.Parent(q) {
		c := *q
		// gone: its parent is the copy, or none; it is not looked up.
		c.gone, c.parent, c.child, c.older, c.younger, c.namesake, c.Mask, c.Memo = true, nil, nil, nil, nil, nil, nil, nil
		if first == nil {
			c.Memo = make([]uint64, len(p.Memo))
			first = &c
		} else {
			last.parent = &c
		}
		last = &c
		size += int(unsafe.Sizeof(c))
	}
	return first, size
}
