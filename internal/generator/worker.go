package generator

import (
	"cmp"
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/pace"
)

const (
	// batchSize is how many instances a worker collects before it hands them over.
	batchSize = 4096
	// flushAge is how long it keeps them at most while it is running.
	flushAge = int64(200 * time.Millisecond)
	// defaultTick is Options.Tick if that is 0.
	defaultTick = 100 * time.Microsecond
	// grace is how late the last actions may be: those that are due in time are
	// done, unless the worker is behind by more than a busy scheduler explains.
	grace = 100 * time.Millisecond
	// nap bounds one sleep, so that a stop is seen soon.
	nap = 50 * time.Millisecond
)

// worker runs actions on one locked OS thread, unless it is free.
type worker struct {
	*running
	index   uint16
	tid     int32
	actions []*action.Runnable // nil for those that are skipped
	rest    *rest
	batch   []Instance
	flushed int64 // End of the first instance in batch
}

func (w *worker) prepare(actions []*action.Action, env action.Env) (err error) {
	if w.rest, err = newRest(w.o); err != nil {
		return err
	}
	for i, a := range actions {
		runnable, err := a.Prepare(env)
		var skip *action.SkipError
		switch {
		case errors.As(err, &skip):
			w.result.Actions[i].Why = skip.Reason
		case err != nil:
			return err
		}
		w.actions = append(w.actions, runnable)
	}
	return nil
}

func (w *worker) close() error {
	var errs []error
	for i := len(w.actions) - 1; i >= 0; i-- {
		if r := w.actions[i]; r != nil {
			errs = append(errs, r.Close())
		}
	}
	w.actions = nil
	if w.rest != nil {
		errs = append(errs, w.rest.close())
	}
	return errors.Join(errs...)
}

// loop takes places of the schedule until there are none. Nothing in it
// allocates or makes a syscall besides the sleep and the actions themselves,
// and it looks at the clock once per action: an action starts when the one
// before has ended, or when the sleep has.
func (w *worker) loop() {
	clock := pace.NewFreeClock(w.start)
	if !w.free() {
		clock = pace.NewClock(w.start)
	}
	w.tid = int32(unix.Gettid())
	w.batch = <-w.empty
	var woke time.Duration
	tick := cmp.Or(w.o.Tick, defaultTick)
	now := w.start.Elapsed()
	for !w.stop.Load() {
		n := w.next.Add(1) - 1
		if w.limit > 0 && n >= w.limit {
			break
		}
		wait, stop := w.pacer.Pace(now, n)
		due := now + wait
		if stop {
			break
		}
		if w.o.Duration > 0 && (due >= w.o.Duration || now >= w.o.Duration+grace) {
			w.sleep(clock, w.o.Duration) // a run lasts as long as requested
			break
		}
		if wait > 0 {
			now = w.sleep(clock, max(due, woke+tick))
			woke = now
			if w.stop.Load() {
				break
			}
		}
		now = w.do(w.pick(n), due, now)
	}
	w.flush()
	w.full <- w.batch[:0]
}

// sleep waits until at, in naps, and returns the time.
func (w *worker) sleep(clock *pace.Clock, at time.Duration) time.Duration {
	now := w.start.Elapsed()
	if at-now > nap/2 {
		w.flush()
	}
	for now < at && !w.stop.Load() {
		w.rest.until(clock, now, min(at, now+nap))
		now = w.start.Elapsed()
	}
	return now
}

// do runs one action that starts now, notes the result, and returns the time.
func (w *worker) do(index uint16, due, now time.Duration) time.Duration {
	in := Instance{Action: index, Worker: w.index, TID: w.tid, Planned: w.start.Real + int64(due), Start: w.start.Real + int64(now)}
	runnable := w.actions[index]
	if runnable == nil {
		in.Skipped = true
	} else if w.rest.made(index) {
		// It was a pause.
	} else if err := runnable.Run(); err != nil {
		in.Errno = errno(err)
	}
	now = w.start.Elapsed()
	in.End = w.start.Real + int64(now)
	if len(w.batch) == 0 {
		w.flushed = in.End
	}
	w.batch = append(w.batch, in)
	if len(w.batch) == cap(w.batch) || in.End-w.flushed > flushAge {
		w.flush()
		return w.start.Elapsed()
	}
	return now
}

// flush hands the batch over. If the collector is behind by all batches, the
// worker waits for it, which shows in the lateness.
func (w *worker) flush() {
	if len(w.batch) == 0 {
		return
	}
	w.full <- w.batch
	w.batch = <-w.empty
}

// errno is the error's number, or -1.
func errno(err error) int32 {
	if e, ok := err.(syscall.Errno); ok {
		return int32(e)
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return int32(e)
	}
	return -1
}
