package state

// graveyard holds processes that have left the table, for a moment: events of
// other CPUs may still come after the exit, and children may still point here.
// It is a queue in the order of death; the oldest are given back for reuse.
type graveyard struct {
	queue []*Process // a ring
	head  int
	n     int
	spare []*Process // ready for reuse
}

const (
	graves   = 1024
	maxSpare = 256
)

// bury moves p out of the table. Its pid keeps pointing to it until it is
// pushed out of the graveyard or a new process takes the pid.
func (t *Table) bury(p *Process) {
	if p.gone {
		return
	}
	t.unnumber(p)
	p.gone, p.Dead = true, true
	t.live--
	t.stats.Removed++
	g := &t.graves
	if g.queue == nil {
		g.queue = make([]*Process, graves)
	}
	if g.n == graves {
		t.dispose(g.queue[g.head])
		g.head = (g.head + 1) % graves
		g.n--
	}
	g.queue[(g.head+g.n)%graves] = p
	g.n++
}

// dispose ends p's stay in the graveyard.
func (t *Table) dispose(p *Process) {
	if !p.gone { // it turned out to live: see revive
		return
	}
	if t.processes[p.PID] == p {
		delete(t.processes, p.PID)
	}
	if t.last == p {
		t.last = nil
	}
	p.disposed = true
	if p.child == nil { // else it goes when its children get a new parent
		t.recycle(p)
	}
}

// recycle makes p ready to be another process.
func (t *Table) recycle(p *Process) {
	t.containers.Release(p.Container)
	t.unlink(p)
	if len(t.graves.spare) < maxSpare {
		t.graves.spare = append(t.graves.spare, p)
	}
}

// revive undoes bury: other threads of a process outlive its leader.
func (t *Table) revive(p *Process) {
	g := &t.graves
	for i := range g.n {
		if at := (g.head + i) % graves; g.queue[at] == p {
			g.queue[at] = &Process{} // an empty grave
			break
		}
	}
	p.gone, p.Dead = false, false
	t.live++
	t.stats.Removed--
}

// full says, and counts, that there is no room for one more process.
func (t *Table) full() bool {
	if t.live < t.max {
		return false
	}
	t.stats.DropsFull++
	return true
}

// newProcess returns an empty Process for the table, nil when that is full.
func (t *Table) newProcess(pid int32) *Process {
	if t.full() {
		return nil
	}
	if q := t.processes[pid]; q != nil {
		t.replace(q)
	}
	p := t.blank()
	p.PID = pid
	t.processes[pid] = p
	t.live++
	t.stats.Added++
	return p
}

// replace takes away q, whose pid belongs to a new process: its exit was lost.
func (t *Table) replace(q *Process) {
	delete(t.processes, q.PID)
	if !q.gone {
		t.orphan(q, 0)
		t.bury(q)
	}
}

// blank returns a Process without facts.
func (t *Table) blank() *Process {
	var p *Process
	if n := len(t.graves.spare); n > 0 {
		p, t.graves.spare = t.graves.spare[n-1], t.graves.spare[:n-1]
		mask, memo := p.Mask, p.Memo
		*p = Process{Mask: mask, Memo: memo}
	} else {
		p = new(Process)
	}
	p.setUnknown()
	t.changed(p)
	return p
}
