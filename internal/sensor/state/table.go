// Package state keeps what the kernel forgets: the processes, with their
// command lines and ancestry, and the users and groups. It is fed by the
// events of the probe (or of a capture) and owned by the engine's goroutine.
package state

// Table is the table of processes.
type Table struct {
	processes map[int32]*Process
}

// Get returns the process with the given pid, nil if it is not known.
func (t *Table) Get(pid int32) *Process { return t.processes[pid] }

// Generation is what caches about p depend on: it changes whenever a condition
// about p's facts, its ancestors or its container could have another value.
func (t *Table) Generation(p *Process) uint64 { return p.Generation }
