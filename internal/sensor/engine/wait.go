package engine

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/boottime"
	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// The first events of a container arrive before its metadata. An event that a
// rule matches, or could match, depending on that metadata is copied, with its
// process and ancestors as they are now, and evaluated when the metadata
// arrives: rules on images see the first process of a container too, and its
// alerts show the image. Other events are evaluated at once.

// Bounds on waiting events.
const (
	maxWaiting      = 1024    // events
	maxWaitingBytes = 4 << 20 // about, with their processes
)

// waiting are the events that wait, oldest first.
type waiting struct {
	events  []waiter
	bytes   int
	atMost  time.Duration
	awaited func() bool // nil: yes
	last    uint64      // Counters.Events at the event that waits since last
}

// waiter is an event that waits.
type waiter struct {
	raw  []byte
	proc *state.Process // a copy, as are its ancestors
	mask []uint64       // the rules that are open
	num  uint64
	time uint64 // ns since the epoch
	size int
}

// waits says whether an event of container c, which is not known, can wait at a
// time of its header. The time counts from the container's first event that
// waited: events of a container that no runtime knows do not wait again and
// again.
func (e *Engine) waits(c *container.Container, now uint64) bool {
	w := &e.waiting
	return w.atMost > 0 && (c.WaitUntil == 0 || now < c.WaitUntil) && (w.awaited == nil || w.awaited())
}

// matchEarly is match for an event whose container is not known yet.
func (e *Engine) matchEarly(prog *plan.Program, mask []uint64, p *state.Process, now uint64) {
	e.prepare(p, e.num, now)
	var open []uint64
	for w, m := range prog.Mask {
		for m &= mask[w]; m != 0; m &= m - 1 {
			i := w*64 + bits.TrailingZeros64(m)
			if open != nil && !e.rules.All {
				// An earlier rule may match, and then this one does not count.
				open[w] |= m
				break
			}
			switch {
			case !e.rules.waits[i]:
				if e.holds(prog, i) {
					e.alert(i)
					if !e.rules.All {
						return
					}
				}
			case e.perhaps(prog, i):
				if open == nil {
					open = make([]uint64, len(prog.Mask))
				}
				open[w] |= 1 << (i % 64)
			}
		}
	}
	if open != nil {
		e.postpone(prog, open, p, now)
	}
}

// perhaps says whether rule i can match, whatever the metadata will be.
func (e *Engine) perhaps(prog *plan.Program, i int) bool {
	cond := e.rules.Plan.Early[i]
	if cond == nil { // its output needs metadata, the condition does not
		cond = prog.Conditions[i]
	}
	is := e.under(cond)
	e.use(0)
	return is
}

// postpone lets the event in view wait, or decides it now if too many do.
func (e *Engine) postpone(prog *plan.Program, open []uint64, p *state.Process, now uint64) {
	w := &e.waiting
	if len(w.events) >= maxWaiting || w.bytes >= maxWaitingBytes {
		e.counters.WaitCut++
		e.decide(prog, open)
		return
	}
	if p.Container.WaitUntil == 0 {
		p.Container.WaitUntil = e.view.Header().Time + uint64(w.atMost)
	}
	raw := slices.Clone(e.view.Raw())
	proc, size := e.table.Freeze(p)
	w.events = append(w.events, waiter{raw: raw, proc: proc, mask: open, num: e.ctx.Num, time: now, size: size + len(raw)})
	w.bytes += size + len(raw)
	w.last = e.counters.Events
	e.counters.Waited++
}

// decide evaluates the open rules for the event in view.
func (e *Engine) decide(prog *plan.Program, open []uint64) {
	for w, m := range open {
		for ; m != 0; m &= m - 1 {
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
}

// settle decides the events whose container is known by now, and those whose
// time is up at now.
func (e *Engine) settle(now uint64) {
	w := &e.waiting
	if len(w.events) == 0 {
		return
	}
	kept := w.events[:0]
	for _, x := range w.events {
		c := x.proc.Container
		if !c.Complete() && now < c.WaitUntil {
			kept = append(kept, x)
			continue
		}
		if !c.Complete() {
			e.counters.WaitCut++
		}
		w.bytes -= x.size
		e.resume(x)
	}
	clear(w.events[len(kept):])
	w.events = kept
}

// resume decides an event that has waited.
func (e *Engine) resume(x waiter) {
	if err := e.view.Reset(x.raw); err != nil {
		e.counters.Malformed++ // it was sound when it came
		return
	}
	h := e.view.Header()
	prog := e.rules.Plan.Program(h.Kind, event.ID(h.Syscall))
	e.prepare(x.proc, x.num, x.time)
	e.decide(prog, x.mask)
	if e.recorder != nil {
		e.recorder.Event(&e.view, x.proc, x.time)
	}
}

// record passes the event in view to the recorder. A waiting event is passed
// when it is evaluated, after its metadata.
func (e *Engine) record(p *state.Process, now uint64) {
	if e.waiting.last == e.counters.Events {
		e.recorder.Postponed(p)
		return
	}
	e.recorder.Event(&e.view, p, now)
}

// untilDue is how long the loop may pause before the time of an event that
// waits is up.
func (e *Engine) untilDue() time.Duration {
	due := time.Duration(math.MaxInt64)
	if len(e.waiting.events) == 0 {
		return due
	}
	now := e.now()
	for _, x := range e.waiting.events {
		due = min(due, time.Duration(x.proc.Container.WaitUntil-now))
	}
	return max(due, 0)
}

// now is the time by the monotonic clock of events' headers: a step of the time
// of day neither prolongs nor ends a wait.
func (e *Engine) now() uint64 {
	if len(e.waiting.events) == 0 {
		return 0 // nothing depends on it
	}
	return uint64(boottime.Now())
}
