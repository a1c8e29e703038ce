package engine

import (
	"time"

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
	filter    ExecFilter // nil for captures
	epoch     uint64
	facts     uint64 // state.Table.FactsVersion of this epoch
	since     time.Time
	contained bool // some of those that are left out are in containers
}

// containedEpoch is how long an epoch lasts in which execs in containers are left out:
// the table looks at the accounts of a container only while rules ask for them.
const containedEpoch = 10 * time.Second

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
	x.facts, x.since, x.contained = e.table.FactsVersion(), time.Now(), false
	x.filter.SetExecEpoch(x.epoch)
}

// checkExecs begins a new epoch if there is more to know than the kernel sees:
// it has numbers of users and control groups, of which rules know the names.
func (e *Engine) checkExecs(now time.Time) {
	x := &e.execs
	if x.facts != e.table.FactsVersion() || x.contained && now.Sub(x.since) >= containedEpoch {
		e.forgetExecs()
	}
}

// judgeExec looks at an exec, that of p under way, which no rule matched: if none
// can match another one with its key, the kernel need not send those.
func (e *Engine) judgeExec(p *state.Process, now uint64, matched bool) {
	x := &e.execs
	if matched || x.filter == nil || e.rules.Plan.Execs == nil {
		return
	}
	k, ok := e.view.ExecKey()
	if !ok || k.Epoch != x.epoch || k.Plan != uint64(e.rules.Plan.Number) || k.Ancestors != x.filter.HashAncestors(e.ancestors(p)) {
		return
	}
	e.prepare(p, e.num, now)
	if e.rules.Plan.Execs.Possible(&e.ctx, k.Met) || x.facts != e.table.FactsVersion() {
		return
	}
	x.contained = x.contained || p.Container != container.Host
	// Without room, the next one is sent and judged again.
	_ = x.filter.LeaveOutExec(&k)
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
