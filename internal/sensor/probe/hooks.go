package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"

	"github.com/peregrine-sec/peregrine/internal/wait"
)

// Hooks selects the hooks that see syscalls.
type Hooks string

// The tracepoint sys_exit works everywhere, and costs every syscall of the host
// some 100 ns. Hooks at the exit of the syscalls' functions cost a wanted
// syscall half as much again, and all others nothing; not every kernel has
// them.
const (
	Auto       Hooks = "auto"       // functions where the kernel has them and they cost less
	Functions  Hooks = "functions"  // where the kernel has them
	Tracepoint Hooks = "tracepoint" // never
)

const sysExit = "sys_exit"

// hooks ensures that each syscall is reported by one of the two hooks, and once.
// sys_exit is attached first; the functions are attached in the background, and
// take over when all are attached.
//
// A call passes its function's end, then sys_exit, and the hooks may change
// between. So they change in steps, with a grace period after each, in which
// every call that is between the two gets to its end (bpf/hooks.h):
//
//	sys_exit                     reports
//	sys_exit, function, marks    the function reports and says so; sys_exit the rest
//	function                     reports; sys_exit is detached
//
// and back the same way, but with marks first: those that the function reports
// without would be reported again.
type hooks struct {
	probe *Probe
	log   *slog.Logger
	mode  Hooks
	// underWay is the time that calls get that began before their functions were
	// attached.
	underWay time.Duration
	wake     chan struct{} // nil where functions are out of the question
	// preemptible: the kernel was built so that it can be.
	preemptible bool
	end         context.CancelFunc
	ended       sync.WaitGroup

	mu         sync.Mutex // guards what follows: one change at a time
	interest   Interest
	sysExit    link.Link // nil while the functions report
	state      uint64
	found      map[string]function // those that were looked for; without a name if the kernel lacks it
	attached   map[string]place
	changedAt  time.Time                 // of the last change of an attached function's programs
	leaving    map[ebpf.ProgramID]string // stubs that the kernel has yet to detach, and their functions
	lastSlot   uint32
	prototypes map[btf.TypeID]*prototype
	keep       keep
	why        string // functions do not report
	said       string // of that in the log
}

// InForce describes the hooks in use.
type InForce struct {
	Hooks     Hooks  // Functions or Tracepoint
	Functions int    // that are attached
	Why       string // Tracepoint
}

// Hooks are the hooks in force.
func (p *Probe) Hooks() InForce {
	h := &p.hooks
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state == byFunction {
		return InForce{Hooks: Functions, Functions: len(h.attached)}
	}
	return InForce{Hooks: Tracepoint, Why: h.why}
}

// start begins the hand-over to functions, if it is possible.
func (h *hooks) start(p *Probe, mode Hooks, underWay time.Duration) {
	h.probe, h.log, h.mode, h.underWay, h.state = p, p.log, mode, underWay, bySysExit
	if mode != Auto && mode != Functions {
		h.why = "peregrine.hooks does not ask for functions"
		return
	}
	if why := h.impossible(); why != "" {
		h.fallBack(why)
		return
	}
	h.found, h.attached, h.prototypes = map[string]function{}, map[string]place{}, map[btf.TypeID]*prototype{}
	h.leaving = map[ebpf.ProgramID]string{}
	h.preemptible = canPreempt()
	h.wake = make(chan struct{}, 1)
	h.wakeUp()
	ctx, cancel := context.WithCancel(context.Background())
	h.end = cancel
	h.ended.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-h.wake:
				h.takeOver(ctx)
			}
		}
	})
}

// Why sys_exit reports for a time.
const (
	attaching     = "functions are being attached"
	beingDetached = "functions that are needed again are being detached"
)

// wakeUp makes the goroutine behind try again; or, where functions report, count
// again.
func (h *hooks) wakeUp() {
	switch {
	case h.state&byFunction == 0:
		h.why = attaching
	case h.mode != Auto:
		return
	}
	select {
	case h.wake <- struct{}{}:
	default: // is awake
	}
}

// fallBack notes why sys_exit reports, and says it if it is new.
func (h *hooks) fallBack(why string) {
	h.why = why
	if h.said == why {
		return
	}
	h.said = why
	level := slog.LevelInfo
	if h.mode == Functions {
		level = slog.LevelWarn
	}
	h.log.Log(context.Background(), level, "syscalls are seen at tracepoint sys_exit, not by function", "because", why)
}

// takeOver attaches the functions and lets sys_exit go.
func (h *hooks) takeOver(ctx context.Context) {
	if why := h.cheaper(ctx); why != "" {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.state&byFunction == 0 {
			h.fallBack(why)
		} else if err := h.back(why); err != nil {
			h.log.Warn("syscalls are still seen by function", "error", err)
		}
		return
	}
	if !h.share(ctx) {
		return
	}
	for left := h.underWay; left > 0; left = h.letGo(ctx) {
		if wait.For(ctx, left) != nil {
			return
		}
	}
}

// letGo detaches sys_exit, unless functions have stopped reporting beside it.
// Calls that were in their functions before these were attached, or before an
// earlier stub was detached, are seen by sys_exit alone: it returns how much of
// the time is left that they get to end.
func (h *hooks) letGo(ctx context.Context) (left time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != bothReport || ctx.Err() != nil {
		return 0
	}
	if h.detaching() {
		return time.Second / 10 // the kernel takes an eighth of a second for each
	}
	if left = h.underWay - time.Since(h.changedAt); left > 0 {
		return left
	}
	err := h.set(byFunction)
	if err == nil {
		err = h.sysExit.Close()
		h.sysExit = nil
	}
	if err != nil {
		h.fallBack(err.Error())
		return 0
	}
	h.forget()
	h.why, h.said = "", ""
	h.log.Info("syscalls are seen by function", "functions", len(h.attached))
	return 0
}

// bothReport is the state in which the functions report, and sys_exit the rest.
const bothReport = bySysExit | byFunction | withMarks

// share attaches the functions and makes them report beside sys_exit; false if
// they do not.
func (h *hooks) share(ctx context.Context) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != bySysExit || ctx.Err() != nil {
		return false
	}
	begin := time.Now()
	names, why := h.attach(ctx, h.interest)
	if ctx.Err() != nil {
		return false
	}
	if why != "" {
		h.release(nil)
		h.fallBack(why)
		return false
	}
	h.release(names)
	h.log.Debug("functions are attached", "functions", len(names), "after", time.Since(begin).Round(time.Millisecond))
	if err := h.set(bothReport); err != nil {
		h.fallBack(err.Error())
		return false
	}
	return true
}

// set changes which hook reports, and waits until no call is left that has
// seen it otherwise.
func (h *hooks) set(state uint64) error {
	if err := h.probe.coll.Maps[".data.hooks"].Put(uint32(0), state); err != nil {
		return fmt.Errorf("tell the probe which hook reports: %w", err)
	}
	h.state = state
	// On kernels that can be preemptible, a grace period is one for programs, but
	// not for a call on its way from one hook to the other. It takes microseconds.
	if err := grace(); state != 0 && (err != nil || h.preemptible) {
		time.Sleep(time.Second / 10)
	}
	return nil
}

// forget removes the marks of calls whose end sys_exit did not see.
func (h *hooks) forget() {
	marks := h.probe.coll.Maps["marks"]
	var tid, one uint32
	var all []uint32
	for it := marks.Iterate(); it.Next(&tid, &one); {
		all = append(all, tid)
	}
	for _, tid := range all {
		_ = marks.Delete(tid)
	}
}

// change applies a new interest: it attaches new hooks before apply and
// releases old ones after it.
func (h *hooks) change(i Interest, apply func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.interest = i.calls()
	if h.wake == nil {
		return apply()
	}
	var names []string
	var why string
	if h.state&byFunction != 0 {
		if names, why = h.attach(context.Background(), i); why != "" {
			if err := h.back(why); err != nil {
				return err
			}
		}
	}
	if err := apply(); err != nil {
		return err
	}
	switch {
	case why != "" && why != beingDetached: // it was tried just now
		return nil
	case h.state&byFunction != 0:
		h.release(names)
	}
	h.wakeUp()
	return nil
}

// back makes sys_exit report again.
func (h *hooks) back(why string) error {
	steps := []uint64{bySysExit | withMarks, bySysExit}
	if h.state == byFunction {
		if err := h.attachSysExit(); err != nil {
			return fmt.Errorf("%s; %w", why, err)
		}
		steps = append([]uint64{byFunction | withMarks, bothReport}, steps...)
	}
	var err error
	for _, state := range steps {
		err = errors.Join(err, h.set(state))
	}
	h.forget()
	h.release(nil)
	h.fallBack(why)
	return err
}

// attachSysExit makes sys_exit run, if it does not. Whether it reports is
// another matter.
func (h *hooks) attachSysExit() (err error) {
	if h.sysExit == nil {
		h.sysExit, err = h.probe.attachTracepoint(sysExit)
	}
	return err
}

// stop makes no hook report, and detaches sys_exit.
func (h *hooks) stop() error {
	if h.end != nil {
		h.end()
		h.ended.Wait()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wake = nil
	var errs []error
	if h.state&byFunction != 0 {
		errs = append(errs, h.set(0))
	}
	if h.sysExit != nil {
		errs = append(errs, h.sysExit.Close())
		h.sysExit = nil
	}
	return errors.Join(errs...)
}

// close releases the functions, which the kernel detaches in the background.
func (h *hooks) close() error {
	var errs []error
	for _, t := range h.prototypes {
		errs = append(errs, t.Close())
	}
	if h.keep.mount != nil {
		errs = append(errs, h.keep.Close())
	}
	return errors.Join(errs...)
}
