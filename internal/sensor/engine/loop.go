package engine

import (
	"context"
	"errors"
	"io"
	"math"
	"sync/atomic"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/boottime"
)

// Source yields events: the ring, or a capture.
type Source interface {
	// Next returns the next event, borrowed until the following call; false
	// if none is ready.
	Next() ([]byte, bool)
	// Wait pauses until it is worth asking again, or for the given time.
	Wait(atMost time.Duration)
	// Wake ends a Wait soon. Unlike the others, it may be called from any
	// goroutine, and after the source was closed.
	Wake()
}

// batch is how many events are taken between looks at the outside world.
const batch = 512

// clockInterval is how often the offset between boot time and wall clock is
// read again: NTP may step it.
const clockInterval = time.Second

// Run takes events from src until ctx ends. Those that are left then are for
// Finish, once their producer has stopped.
func (e *Engine) Run(ctx context.Context, src Source) {
	wake := src.Wake
	e.wake.Store(&wake)
	defer context.AfterFunc(ctx, wake)()
	e.SetClock(uint64(boottime.Epoch()))
	next := time.Now().Add(clockInterval)
	for ctx.Err() == nil {
		more := e.drain(src)
		e.serve()
		e.settle(e.now())
		now := time.Now()
		if now.After(next) {
			e.SetClock(uint64(boottime.Epoch()))
			e.table.Tick(now)
			more = more || e.idle(src)
			next = now.Add(clockInterval)
		}
		e.checkExecs(now)
		if !more {
			src.Wait(min(time.Until(next), e.untilDue()))
		}
	}
}

// idle passes the time to the recorder if no events do. It says whether there
// may be more.
func (e *Engine) idle(src Source) (more bool) {
	if e.recorder == nil {
		return false
	}
	now := uint64(boottime.Now())
	more = e.drain(src)
	if !more && e.recorder != nil {
		e.recorder.Idle(now)
	}
	return more
}

// Finish takes the remaining events of src, which gets no new ones.
func (e *Engine) Finish(src Source) {
	for range 2 { // the youngest events are handed out a moment later only
		for e.drain(src) {
		}
		src.Wait(time.Millisecond)
	}
	for e.drain(src) {
	}
	e.serve()
	e.settle(math.MaxUint64)
}

// Replay takes all events from next until it returns io.EOF, which is a nil
// error here, or another error, or until ctx ends.
func (e *Engine) Replay(ctx context.Context, next func() ([]byte, error)) error {
	for n := 0; ; n++ {
		if n%batch == 0 {
			e.serve()
			if ctx.Err() != nil {
				return nil
			}
		}
		ev, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		e.Handle(ev)
	}
}

// Learn passes the process table an event that no rule looks at: one of the
// snapshot of processes at start.
func (e *Engine) Learn(raw []byte) {
	raw = e.loan.Begin(raw)
	defer e.loan.End()
	if err := e.view.Reset(raw); err != nil {
		e.counters.Malformed++
		return
	}
	e.table.Apply(&e.view, e.view.Header().Time+e.offset)
	e.learnGroups()
	e.table.Done(&e.view)
}

// drain handles a batch of events and says whether there may be more.
func (e *Engine) drain(src Source) bool {
	for range batch {
		ev, ok := src.Next()
		if !ok {
			return false
		}
		e.Handle(ev)
	}
	return true
}

// Do runs f on the engine's goroutine and returns when it has run. If ctx ends
// before f has started, it returns an error, and f never runs. Do must not be
// called from the engine's goroutine.
func (e *Engine) Do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	var taken atomic.Bool // by the engine, to run f, or by us, to give up
	call := func() {
		if taken.CompareAndSwap(false, true) {
			f()
			close(done)
		}
	}
	select {
	case e.calls <- call:
		if wake := e.wake.Load(); wake != nil {
			(*wake)()
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		if taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		<-done
		return nil
	}
}

func (e *Engine) serve() {
	for {
		select {
		case f := <-e.calls:
			f()
		default:
			return
		}
	}
}
