package engine

import (
	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// ExecFilter is the kernel's filter of execs. A kernel that has none sends execs
// without a key.
type ExecFilter interface {
	// SetExecEpoch makes the kernel forget all execs that it leaves out.
	SetExecEpoch(uint64)
	// LeaveOutExec makes it leave out execs like the one with this key.
	LeaveOutExec(*event.ExecKey) error
	// HashAncestors is the number that it has for ancestors of these names.
	HashAncestors(names func(yield func(string) bool)) uint64
}

// execs tells the kernel which execs no rule can match.
type execs struct {
	filter   ExecFilter // nil: there is none
	epoch    uint64
	accounts uint64 // version of those of the host in this epoch
}

// FilterExecs makes the engine tell the kernel which execs no rule can match.
func (e *Engine) FilterExecs(f ExecFilter) {
	e.execs.filter = f
	e.forgetExecs()
}

// forgetExecs begins a new epoch: what has been found out about execs does not
// count any longer.
func (e *Engine) forgetExecs() {
	x := &e.execs
	if x.filter == nil {
		return
	}
	x.epoch++
	x.accounts = e.table.AccountsVersion(container.Host)
	x.filter.SetExecEpoch(x.epoch)
}

// checkExecs begins a new epoch if accounts have changed: rules look at names of
// users, of which the kernel has the numbers.
func (e *Engine) checkExecs() {
	if e.execs.filter != nil && e.execs.accounts != e.table.AccountsVersion(container.Host) {
		e.forgetExecs()
	}
}

// judgeExec looks at an exec, that of p under way, which no rule matched: if none
// can match another one with its key, the kernel need not send those. Metadata of
// containers are not in the key.
func (e *Engine) judgeExec(p *state.Process, now uint64, matched bool) {
	x := &e.execs
	if matched || x.filter == nil || p.Container != container.Host || e.rules.Plan.Execs == nil {
		return
	}
	k, ok := e.view.ExecKey()
	if !ok || k.Epoch != x.epoch || k.Plan != uint64(e.rules.Plan.Number) || k.Ancestors != x.filter.HashAncestors(e.ancestors(p)) {
		return
	}
	e.prepare(p, e.num, now)
	if !e.rules.Plan.Execs.Possible(&e.ctx, k.Met) {
		// Without room, the next one is sent and judged again.
		_ = x.filter.LeaveOutExec(&k)
	}
}

// ancestors yields the names of p's ancestors, the parent's first. They count
// only if they are the kernel's: the table may have missed an event.
func (e *Engine) ancestors(p *state.Process) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for q := e.table.Parent(p); q != nil && yield(q.Comm); q = e.table.Parent(q) {
		}
	}
}

// learnLate passes the table an event of which the kernel tells late: no rule can
// match it.
func (e *Engine) learnLate(h *event.Header) {
	e.counters.Events++
	e.counters.Kinds[h.Kind]++
	now := h.Time + e.offset
	p := e.table.Apply(&e.view, now)
	e.learnGroups()
	if e.observe != nil {
		e.prepare(p, e.num, now)
		e.observe(&e.ctx)
	}
	e.loan.End()
}
