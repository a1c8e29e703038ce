package generator

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/pace"
)

// rest is how a worker of a replay sleeps: by a syscall of the replay, which is
// then not made when it is due. So the pauses of the generator are pauses that
// were recorded, and not calls on top.
type rest struct {
	action  int // -1: of the generator's own
	syscall string
	owed    int // calls made ahead
	epoll   int
	timeout unix.Timespec
}

// rests are the syscalls that can be a pause, the most exact first.
var rests = []string{"clock_nanosleep", "nanosleep", "ppoll", "pselect6", "epoll_wait", "epoll_pwait"}

// newRest takes the pause that is made most often. sleep it without a mix.
func newRest(o *Options) (*rest, error) {
	r := &rest{action: -1, epoll: -1}
	if o.Mix == nil {
		return r, nil
	}
	var most float64
	for _, syscall := range rests {
		for i, c := range o.Actions {
			if c.Name != action.Replayed(syscall, false) {
				continue
			}
			var rate float64
			for _, step := range o.Mix.Rates[o.Mix.Strands[i]] {
				rate += step * o.Mix.Shares[i]
			}
			if rate > most {
				most, r.action, r.syscall = rate, i, syscall
			}
		}
	}
	if r.syscall != "epoll_wait" && r.syscall != "epoll_pwait" {
		return r, nil
	}
	var err error
	r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return r, err
}

func (r *rest) close() error {
	if r.epoll < 0 {
		return nil
	}
	return unix.Close(r.epoll)
}

// made says whether a call that is due has been made as a pause.
func (r *rest) made(index uint16) bool {
	if int(index) != r.action || r.owed == 0 {
		return false
	}
	r.owed--
	return true
}

// until pauses at most to the time at. Like a short sleep of the clock, it does
// not tell the Go runtime, which keeps a place for each worker.
func (r *rest) until(clock *pace.Clock, now, at time.Duration) {
	if r.action < 0 {
		clock.SleepUntil(now, at)
		return
	}
	r.owed++
	r.timeout = unix.NsecToTimespec(int64(at - now))
	timeout := uintptr(unsafe.Pointer(&r.timeout))
	var event unix.EpollEvent
	milliseconds := uintptr((at - now + time.Millisecond - 1) / time.Millisecond)
	switch r.syscall { // each ends early with a signal: the caller looks at the clock
	case "clock_nanosleep":
		_, _, _ = unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, 0, timeout, 0, 0, 0)
	case "nanosleep":
		_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, timeout, 0, 0)
	case "ppoll":
		_, _, _ = unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, timeout, 0, 0, 0)
	case "pselect6":
		_, _, _ = unix.RawSyscall6(unix.SYS_PSELECT6, 0, 0, 0, 0, timeout, 0)
	case "epoll_wait":
		_, _, _ = unix.RawSyscall6(sysEpollWait, uintptr(r.epoll), uintptr(unsafe.Pointer(&event)), 1, milliseconds, 0, 0)
	case "epoll_pwait":
		_, _, _ = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(r.epoll), uintptr(unsafe.Pointer(&event)), 1, milliseconds, 0, 0)
	}
}
