package engine

import (
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// quietTime is how long it may take a process to make the events that tell that
// it is busy and unneeded: so many in a row that matched no rule. One that lives
// for a short time never gets there.
const (
	quietTime   = 10 * time.Second
	quietEvents = 256
)

// masks tells the kernel which rules can match the processes that are busy and
// unneeded.
type masks struct {
	tell  func(plan.ProcessMask) // nil: there is no kernel
	after uint32                 // quiet events
}

// TellMasks makes the engine call tell for processes that are busy and unneeded,
// with the rules that can match them.
func (e *Engine) TellMasks(tell func(plan.ProcessMask)) { e.masks = masks{tell, quietEvents} }

// noteQuiet counts the event under way, of p.
func (e *Engine) noteQuiet(p *state.Process, matched bool) {
	if e.masks.tell == nil {
		return
	}
	q, now := &p.Quiet, e.view.Header().Time
	if matched || q.Events == 0 || now-q.Since > uint64(quietTime) {
		q.Since, q.Events = now, 1
		return
	}
	if q.Events++; q.Events >= e.masks.after {
		q.Events = 0
		e.sendMask(p)
	}
}

// sendMask tells which rules can match p. It does so each time that p has been
// quiet again: another process may have taken its place in the kernel's table.
func (e *Engine) sendMask(p *state.Process) {
	if !p.Known || !p.Told || p.Dead || e.rules.Plan.Kinds == nil {
		return
	}
	q := &p.Quiet
	if generation := p.Generation + e.epoch<<48; q.Generation != generation {
		bits, some := e.ownBits(p)
		q.Generation, q.Rules, q.Some = generation, bits, some
	}
	if !q.Some {
		return
	}
	e.masks.tell(plan.ProcessMask{
		Plan: e.rules.Plan.Number, PID: uint32(p.PID), Start: p.Start,
		ExecID: p.ExecID, UID: p.UID, GID: p.GID, LoginUID: p.LoginUID, Rules: q.Rules,
	})
}

// ownBits are the rules that can match p by its own facts; false if all can.
func (e *Engine) ownBits(p *state.Process) (plan.Bits, bool) {
	e.ctx.Reset()
	e.ctx.Event, e.ctx.Proc, e.ctx.Memo = nil, p, e.given
	defer func() { e.ctx.Event = &e.view }()
	return e.rules.Plan.OwnBits(func(cond filter.Predicate) bool { return cond(&e.ctx) })
}
