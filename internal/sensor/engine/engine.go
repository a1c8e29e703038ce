// Package engine is the hot loop of the sensor: it takes each event from the
// ring (or a capture), lets the process table learn from it, finds the rules
// that can still match, evaluates those, and emits alerts.
//
// One goroutine owns the Engine and all it refers to.
// An event is borrowed from the ring for the time of one Handle. Other
// goroutines run code on the engine's goroutine with Do.
package engine

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// Formatter makes the alert of one rule from the event that matched it.
type Formatter interface {
	Format(*field.Context) *alert.Alert
}

// Ruleset is the set of rules that events are matched against. It is immutable
// but for the counters, and is swapped as a whole on reload.
type Ruleset struct {
	Plan *plan.Plan
	// Formatters are parallel to Plan.Rules.
	Formatters []Formatter
	// All reports every rule that matches an event, not only the first.
	All bool

	// Evaluations and Matches count, per rule, since the Ruleset was made.
	Evaluations, Matches []uint64

	waits []bool // per rule: condition or output depends on a container's metadata
}

// NewRuleset returns a Ruleset with its counters at zero.
func NewRuleset(p *plan.Plan, formatters []Formatter, all bool) *Ruleset {
	r := &Ruleset{
		Plan: p, Formatters: formatters, All: all,
		Evaluations: make([]uint64, len(p.Rules)), Matches: make([]uint64, len(p.Rules)),
		waits: make([]bool, len(p.Rules)),
	}
	for i := range r.waits {
		shows, ok := formatters[i].(interface{ Metadata() bool })
		r.waits[i] = p.Early[i] != nil || ok && shows.Metadata()
	}
	return r
}

// Counters count the engine's events since its start.
type Counters struct {
	Events    uint64 // events handled, malformed ones apart
	Malformed uint64
	Alerts    uint64
	Skipped   uint64 // events that no rule could match, by mask alone
	Waited    uint64 // events that waited for their container's metadata
	WaitCut   uint64 // of those and others, those decided without it
	Kinds     [event.NumKinds]uint64
}

// Recorder keeps the events while it records.
type Recorder interface {
	// Event is called for each event once the rules have seen it, with its
	// process and its time in ns since the epoch. All is borrowed.
	Event(v *event.View, p *state.Process, now uint64)
	// Postponed says that the event of p under way comes to Event later, when
	// it has been decided.
	Postponed(p *state.Process)
	// Idle says that all events older than now, by the clock of their headers,
	// have arrived. It is called about once a second while no events come.
	Idle(now uint64)
}

// Options are the parts of an Engine.
type Options struct {
	Table   *state.Table
	Rules   *Ruleset
	Static  *field.Static
	Emit    func(*alert.Alert)
	Observe func(*field.Context) // called for every event, if not nil
	// MetadataWait is how long an event waits for metadata of its container
	// that a rule needs; 0 for not at all. Awaited says whether there is a
	// source of it.
	MetadataWait time.Duration
	Awaited      func() bool
}

// Engine matches events against rules.
type Engine struct {
	table    *state.Table
	rules    *Ruleset
	emit     func(*alert.Alert)
	observe  func(*field.Context)
	recorder Recorder // nil while nothing is recorded
	ctx      field.Context
	view     event.View
	loan     event.Loan
	given    []uint64 // Context.Memo under the given name of a path
	others   []uint64 // Context.Memo under another of its names
	names    int      // of the event's paths; 0: not counted yet
	current  int      // the name that others belongs to
	offset   uint64   // from Header.Time to ns since the epoch
	dated    uint64   // the offset by which the table's processes are dated; 0: none yet
	counters Counters
	num      uint64 // evt.num of the event in view
	groups   groups
	masks    masks
	execs    execs
	epoch    uint64 // changes with the rules: process masks depend on it
	waiting  waiting
	calls    chan func()
	wake     atomic.Pointer[func()] // ends the source's Wait; nil before Run
}

// New returns an Engine ready for Handle.
func New(opts Options) *Engine {
	e := &Engine{table: opts.Table, emit: opts.Emit, observe: opts.Observe, calls: make(chan func(), 16)}
	e.ctx.Table, e.ctx.Event = opts.Table, &e.view
	e.waiting.atMost, e.waiting.awaited = opts.MetadataWait, opts.Awaited
	e.Swap(opts.Rules, opts.Static)
	return e
}

// Swap replaces the rules and the fixed data of their fields. Called before
// the loop or on its goroutine.
func (e *Engine) Swap(r *Ruleset, static *field.Static) {
	e.settle(math.MaxUint64)
	e.rules, e.ctx.Static = r, static
	e.given = make([]uint64, r.Plan.MemoWords)
	e.others = make([]uint64, r.Plan.MemoWords)
	e.epoch++
	e.forgetExecs()
}

// Rules returns the rules in force.
func (e *Engine) Rules() *Ruleset { return e.rules }

// Counters returns the counters; valid on the engine's goroutine.
func (e *Engine) Counters() *Counters { return &e.counters }

// SetClock sets the offset, in ns, from the time in an event's header to the
// epoch: realtime minus boot time for the probe, 0 for captures. When the time
// of day has been set meanwhile, the processes' start times are adjusted: their
// age does not change.
func (e *Engine) SetClock(offset uint64) {
	e.offset = offset
	step := time.Duration(offset - e.dated)
	switch {
	case e.dated == 0:
		e.dated = offset
	case step.Abs() >= time.Second:
		e.table.Redate(step)
		e.dated = offset
	}
}

// Record passes all events to r from now on; nil ends that. It is called on the
// engine's goroutine. Within Emit, it begins with the event of the alert.
func (e *Engine) Record(r Recorder) { e.recorder = r }

// Clock is the offset that SetClock has set.
func (e *Engine) Clock() uint64 { return e.offset }

// Time is that in the header of the event under way, for Emit.
func (e *Engine) Time() uint64 { return e.view.Header().Time }

// Handle takes one event, which is borrowed until it returns.
func (e *Engine) Handle(raw []byte) {
	if err := e.view.Reset(e.loan.Begin(raw)); err != nil {
		e.counters.Malformed++
		return
	}
	h := e.view.Header()
	if h.Flags&event.Late != 0 {
		e.learnLate(h)
		return
	}
	e.counters.Events++
	e.counters.Kinds[h.Kind]++
	switch h.Kind {
	case event.KindTask, event.KindProcfork, event.KindProcmove: // these are for the process table alone
	default:
		e.num++
	}
	now := h.Time + e.offset
	p := e.table.Apply(&e.view, now)
	e.learnGroups()
	p.Events++
	alerts := e.counters.Alerts
	if prog := e.rules.Plan.Program(h.Kind, event.ID(h.Syscall)); prog != nil {
		e.match(prog, p, now)
	}
	e.noteQuiet(p, e.counters.Alerts != alerts)
	if h.Kind == event.KindExecve {
		e.judgeExec(p, now, e.counters.Alerts != alerts)
	}
	if e.observe != nil {
		e.prepare(p, e.num, now)
		e.observe(&e.ctx)
	}
	if e.recorder != nil {
		e.record(p, now)
	}
	e.table.Done(&e.view)
	e.loan.End()
}

// match evaluates the rules that can match the event.
func (e *Engine) match(prog *plan.Program, p *state.Process, now uint64) {
	if o := e.rules.Plan.Opens; o != nil && !o.NeededEvent(&e.view, p.Comm) {
		e.counters.Skipped++
		return
	}
	mask := e.processMask(p)
	if !p.Container.Complete() && e.waits(p.Container, e.view.Header().Time) {
		e.matchEarly(prog, mask, p, now)
		return
	}
	started := false
	for w, m := range prog.Mask {
		for m &= mask[w]; m != 0; m &= m - 1 {
			if !started {
				e.prepare(p, e.num, now)
				started = true
			}
			i := w*64 + bits.TrailingZeros64(m)
			if !e.holds(prog, i) {
				continue
			}
			e.alert(i)
			if !e.rules.All {
				return
			}
		}
	}
	if !started {
		e.counters.Skipped++
	}
}

// prepare makes the Context ready for the event in view.
func (e *Engine) prepare(p *state.Process, num, now uint64) {
	c := &e.ctx
	c.Reset()
	c.Proc, c.Num, c.Time = p, num, now
	c.Memo = e.given
	clear(e.given)
	e.names, e.current = 0, 0
}

// holds evaluates rule i under the path that was given, and under its other
// names: a link or a mount hides nothing.
func (e *Engine) holds(prog *plan.Program, i int) bool {
	e.rules.Evaluations[i]++
	return e.under(prog.Conditions[i])
}

// under evaluates a condition under every name of the event's paths.
func (e *Engine) under(cond filter.Predicate) bool {
	if cond(&e.ctx) {
		return true
	}
	if !e.ctx.PathUsed() {
		return false
	}
	if e.names == 0 {
		e.names = e.ctx.Names()
	}
	for n := 1; n < e.names; n++ {
		e.use(n)
		if cond(&e.ctx) {
			return true // an alert is formatted under the name that matched
		}
	}
	e.use(0)
	return false
}

// use makes the fields give the nth name of the event's paths.
func (e *Engine) use(n int) {
	e.ctx.Use(n)
	if n == 0 {
		e.ctx.Memo = e.given
		return
	}
	if e.current != n {
		e.current = n
		clear(e.others)
	}
	e.ctx.Memo = e.others
}

func (e *Engine) alert(i int) {
	e.rules.Matches[i]++
	e.counters.Alerts++
	e.emit(e.rules.Formatters[i].Format(&e.ctx))
	e.use(0)
}

// processMask returns the rules that can match events of p, judged by facts
// about p alone.
func (e *Engine) processMask(p *state.Process) []uint64 {
	generation := p.Generation + e.epoch<<48
	if p.MaskGeneration == generation && p.Mask != nil {
		return p.Mask
	}
	pl := e.rules.Plan
	if len(p.Mask) != pl.Words() || len(p.Memo) != pl.ProcMemoWords {
		p.Mask = make([]uint64, pl.Words())
		p.Memo = make([]uint64, pl.ProcMemoWords)
	}
	clear(p.Mask)
	clear(p.Memo)
	p.MaskGeneration = generation
	e.ctx.Reset()
	e.ctx.Event, e.ctx.Proc, e.ctx.Memo = nil, p, e.given
	clear(e.given)
	for i, cond := range pl.Process {
		if early := pl.ProcessEarly[i]; early != nil && !p.Container.Complete() {
			cond = early
		}
		if cond == nil || cond(&e.ctx) {
			p.Mask[i/64] |= 1 << (i % 64)
		}
	}
	e.ctx.Event = &e.view
	return p.Mask
}
