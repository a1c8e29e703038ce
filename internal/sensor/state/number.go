package state

// number is the pid of a process in its pid namespace.
type number struct {
	ns  uint32 // inode number of the namespace
	pid int32
}

// InPIDNS says whether p is in a pid namespace other than the sensor's.
func (p *Process) InPIDNS() bool { return p.VPID >= 0 && p.VPID != p.PID }

// InNamespaceOf returns the process that has the number pid in p's pid
// namespace, nil if absent. Any container can make the sensor ask, as
// often as it calls kill(2): that must not cost a look at all processes.
func (t *Table) InNamespaceOf(p *Process, pid int32) *Process {
	if q := t.numbers[number{p.PIDNS, pid}]; q != nil {
		return q
	}
	// A number that happens to be the host's too is not noted.
	if q := t.Get(pid); q != nil && q.VPID == pid && q.PIDNS == p.PIDNS {
		return q
	}
	return nil
}

// renumber notes the number of p if that has changed.
func (t *Table) renumber(p *Process) {
	is := number{p.PIDNS, p.VPID}
	if p.number == is || p.gone {
		return
	}
	t.unnumber(p)
	p.number = is
	if p.InPIDNS() {
		p.namesake = t.numbers[is]
		t.numbers[is] = p
	}
}

// unnumber forgets the number of p.
func (t *Table) unnumber(p *Process) {
	was := p.number
	p.number = number{}
	if was.pid == p.PID || was.pid < 0 {
		return // not noted
	}
	switch q := t.numbers[was]; {
	case q != p:
		for q != nil && q.namesake != p {
			q = q.namesake
		}
		if q != nil {
			q.namesake = p.namesake
		}
	case p.namesake != nil:
		t.numbers[was] = p.namesake
	default:
		delete(t.numbers, was)
	}
	p.namesake = nil
}
