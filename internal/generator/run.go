package generator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/pace"
)

// Run performs the actions in this process, in the given environment, until
// the schedule, Duration, Count or ctx ends. Env.Prefix gets the number of the
// worker appended. Actions that do not apply are skipped, each time they are
// due; other errors of Prepare end the run before it starts.
//
// Use Spawn unless this process is already where the actions belong.
func Run(ctx context.Context, o Options, env action.Env) (*Result, error) {
	r, err := prepare(o, env)
	if err != nil {
		return nil, err
	}
	if o.Ready != nil {
		skips := make([]string, len(o.Actions))
		for i := range skips {
			skips[i] = r.result.Actions[i].Why
		}
		o.Ready(skips)
	}
	err = r.run(ctx)
	return r.result, errors.Join(err, r.close())
}

// running is a run: the state that its workers share.
type running struct {
	o       *Options
	picker  *picker
	mix     *mixPicker // nil: the picker picks
	pacer   pace.Pacer
	workers []*worker
	result  *Result

	start pace.Start
	limit uint64        // actions in all
	next  atomic.Uint64 // place in the schedule to be taken next
	stop  atomic.Bool
	full  chan []Instance
	empty chan []Instance

	instances [][]Instance // not one slice: to move it while it grows would keep the workers waiting
}

// prepare makes every action ready in every worker.
func prepare(o Options, env action.Env) (*running, error) {
	actions, err := o.resolve()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(env.Scratch); err != nil {
		return nil, fmt.Errorf("scratch directory: %w", err)
	}
	weights := make([]int, len(o.Actions))
	for i, choice := range o.Actions {
		weights[i] = choice.Weight
	}
	r := &running{o: &o, picker: newPicker(weights, o.Order, o.Seed), pacer: o.pacer(), result: newResult(o.Actions)}
	if o.Mix != nil {
		r.mix = newMixPicker(o.Mix)
	}
	r.limit = lowest(o.Count, o.Passes*uint64(len(r.picker.pass)))
	n := max(o.Workers, 1)
	r.full, r.empty = make(chan []Instance, 4*n), make(chan []Instance, 4*n)
	for range 4 * n {
		r.empty <- make([]Instance, 0, batchSize)
	}
	for i := range n {
		w := &worker{running: r, index: uint16(i)}
		r.workers = append(r.workers, w)
		env := env
		env.Prefix = fmt.Sprintf("%s%d", env.Prefix, i)
		env.Scratch = filepath.Join(env.Scratch, fmt.Sprintf("w%d", i)) // made by the first action that needs it
		if err := w.prepare(actions, env); err != nil {
			return nil, errors.Join(err, r.close())
		}
	}
	return r, nil
}

// run starts the workers and collects their results.
func (r *running) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { r.stop.Store(true) })()
	// Workers keep their places while they act or sleep for a short time: add
	// places for everything else.
	places := runtime.GOMAXPROCS(0)
	if r.free() {
		runtime.GOMAXPROCS(len(r.workers))
	} else {
		runtime.GOMAXPROCS(places + len(r.workers))
	}
	defer runtime.GOMAXPROCS(places)
	before := cpuTime()
	r.start = pace.NewStart()
	var workers sync.WaitGroup
	for _, w := range r.workers {
		workers.Go(w.loop)
	}
	go func() {
		workers.Wait()
		close(r.full)
	}()
	for batch := range r.full {
		r.collect(batch)
	}
	elapsed := r.start.Elapsed()
	r.result.Instances = slices.Concat(r.instances...)
	r.result.Start = time.Unix(0, r.start.Real)
	r.result.End = r.result.Start.Add(elapsed)
	r.result.ClockStep = r.start.Step()
	r.result.CPU = cpuTime() - before
	r.target(elapsed)
	return nil
}

// free says that nobody asks for the threads of instances. Then workers may
// change threads, and have no places but their own: every 10 ms the runtime
// interrupts a worker, which wakes other threads if there is a place for them, or
// if the worker is locked to its own. Those are syscalls that no profile has.
func (r *running) free() bool { return r.o.Mix != nil && r.o.Sink == nil }

// pick is the action in place n of the schedule.
func (r *running) pick(n uint64) uint16 {
	if r.mix != nil {
		return r.mix.at(n)
	}
	return r.picker.at(n)
}

func (r *running) collect(batch []Instance) {
	r.result.add(batch)
	if r.o.Sink != nil {
		r.o.Sink(batch)
	}
	if !r.o.Discard {
		r.instances = append(r.instances, slices.Clone(batch))
	}
	r.empty <- batch[:0]
}

// target sets the number of actions due so far, and their rate.
func (r *running) target(elapsed time.Duration) {
	if r.o.Duration > 0 {
		elapsed = min(elapsed, r.o.Duration)
	}
	open, ok := r.pacer.(pace.OpenLoop)
	if !ok {
		r.result.Target = r.result.Offered
		return
	}
	r.result.Target = lowest(open.Planned(elapsed), r.limit)
	if s := elapsed.Seconds(); s > 0 {
		r.result.TargetRate = float64(open.Planned(elapsed)) / s
	}
	if c, ok := r.pacer.(pace.Constant); ok {
		r.result.TargetRate = c.Rate
	}
}

func (r *running) close() error {
	var errs []error
	for _, w := range r.workers {
		errs = append(errs, w.close())
	}
	return errors.Join(errs...)
}

// lowest is the lower of two limits; 0 means unlimited.
func lowest(a, b uint64) uint64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// cpuTime is the CPU time of this process and its ended children so far.
func cpuTime() time.Duration {
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return total
}
