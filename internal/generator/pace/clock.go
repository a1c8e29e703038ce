package pace

import (
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Clock sleeps until points of CLOCK_MONOTONIC, counted from a start that all
// workers of a run share. It belongs to one worker.
type Clock struct {
	start Start
	until unix.Timespec // kept here so that a sleep does not allocate
}

// Start is the zero of a schedule on three clocks at once.
type Start struct {
	go_  time.Time
	mono int64 // CLOCK_MONOTONIC, ns
	Real int64 // CLOCK_REALTIME, ns since the epoch
}

// NewStart takes the zero of a schedule: now.
func NewStart() Start {
	r := closest(readClocks(unix.CLOCK_MONOTONIC))
	return Start{go_: r.wall, mono: r.other(), Real: r.wall.UnixNano()}
}

// Elapsed is the time since the start. It is read through the vDSO, so that
// looking at the clock is no syscall that a sensor would see.
func (s Start) Elapsed() time.Duration { return time.Since(s.go_) }

// Step is how far CLOCK_REALTIME has been set away from the run's own time,
// which goes on from the start with CLOCK_MONOTONIC.
func (s Start) Step() time.Duration {
	return Offset(unix.CLOCK_MONOTONIC) - time.Duration(s.Real-s.mono)
}

// Offset is how far CLOCK_REALTIME is ahead of another clock (unix.CLOCK_...):
// constant, unless the wall clock is set.
func Offset(clock int32) time.Duration {
	r := closest(readClocks(clock))
	return time.Duration(r.wall.UnixNano() - r.other())
}

// reading is the wall clock between two looks at another clock, in ns.
type reading struct {
	before, after int64
	wall          time.Time
}

func (r reading) other() int64 { return r.before + (r.after-r.before)/2 }

func readClocks(clock int32) func() reading {
	look := func() int64 {
		var t unix.Timespec
		_ = unix.ClockGettime(clock, &t) // cannot fail: the clocks exist since 2.6.39
		return t.Nano()
	}
	return func() reading {
		r := reading{before: look(), wall: time.Now()}
		r.after = look()
		return r
	}
}

// closest is the quickest of several readings: between two looks, a thread may
// lose its CPU for milliseconds.
func closest(read func() reading) reading {
	best := read()
	for range 9 {
		if r := read(); r.after-r.before < best.after-best.before {
			best = r
		}
	}
	return best
}

// NewClock locks the calling goroutine to its thread and asks the kernel for
// timers that are exact to 1 ns instead of the usual 50 us of slack
// (prctl(2), PR_SET_TIMERSLACK). The caller must not unlock the thread.
func NewClock(start Start) *Clock {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // without it sleeps are only less exact
	return &Clock{start: start}
}

// NewFreeClock leaves the goroutine free to change threads, and its timers with
// the usual slack: for workers whose threads nobody asks for.
func NewFreeClock(start Start) *Clock { return &Clock{start: start} }

// short is the longest sleep that keeps its place among the Go runtime's
// threads (GOMAXPROCS).
const short = time.Millisecond

// SleepUntil returns at the time at (since the start), or earlier when a
// signal comes in: callers look at the clock again.
//
// A short sleep does not tell the runtime. One that does, and lasts longer
// than 20 us, has its place taken away by the runtime's monitor (sysmon), which
// then looks every 20 us instead of every 10 ms, and must ask for one again:
// that costs several times the sleep itself. The runtime's signals end a sleep
// of either kind, so that it still can stop all threads.
func (c *Clock) SleepUntil(now, at time.Duration) {
	c.until = unix.NsecToTimespec(c.start.mono + int64(at))
	if at-now > short {
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &c.until, nil)
		return
	}
	_, _, _ = unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, uintptr(unsafe.Pointer(&c.until)), 0, 0, 0)
}
