package probe

import (
	"math"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sample"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

func ids(names ...string) (out []event.ID) {
	for _, n := range names {
		id, ok := event.SyscallByName(n)
		if !ok {
			panic(n)
		}
		out = append(out, id)
	}
	return out
}

// consume drops what arrives, as a sensor with nothing to match would.
func consume(p *Probe) (stop func()) {
	done, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			default:
			}
			for {
				if _, ok := p.Reader().Next(); !ok {
					break
				}
			}
			p.Reader().Wait(100 * time.Millisecond)
		}
	}()
	return func() { close(done); <-stopped }
}

// BenchmarkAdded measures the time that the probe adds to syscalls: each loop
// runs without and with it, interleaved. "floor" is an attached probe with an
// empty interest.
func BenchmarkAdded(b *testing.B) {
	path := b.TempDir() + "/file"
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		b.Fatal(err)
	}
	getpid := func() { unix.RawSyscall(unix.SYS_GETPID, 0, 0, 0) }
	name := cstring(path)
	openClose := func() {
		fd := raw0(unix.SYS_OPENAT, unix.AT_FDCWD, name)
		unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
	}
	forkExec := func() {
		if err := exec.Command("/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
	}
	set, err := pathset.New([]pathset.Pattern{{Text: "/etc/shadow", Kind: pathset.Exact, Mask: asked(^uint64(0))}})
	if err != nil {
		b.Fatal(err)
	}
	nothing := byFacts(set)
	for _, bc := range []struct {
		name     string
		do       func()
		n        int
		interest Interest
	}{
		{"getpid/floor", getpid, 40_000, Interest{}},
		{"getpid/other", getpid, 40_000, Interest{Syscalls: ids("openat", "close", "execve")}},
		{"openclose/floor", openClose, 10_000, Interest{}},
		{"openclose/openat", openClose, 10_000, Interest{Syscalls: ids("openat")}},
		{"openclose/filtered", openClose, 10_000, Interest{Syscalls: ids("openat"), Opens: nothing}},
		{"openclose/openat,close", openClose, 10_000, Interest{Syscalls: ids("openat", "close")}},
		{"forkexec", forkExec, 100, Interest{Syscalls: ids("execve", "execveat", "clone", "clone3", "vfork", "fork", "openat", "close")}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var without, with []float64
			// The quickest of many short batches, in CPU time of this thread: this
			// leaves out the effects of other programs as far as possible.
			run := func() float64 {
				best := math.Inf(1)
				for range 20 {
					t := threadTime()
					for range bc.n / 20 {
						bc.do()
					}
					best = min(best, float64(threadTime()-t)/float64(bc.n/20))
				}
				return best
			}
			for range 5 {
				without = append(without, run())
				p, err := Load(Options{CPUsPerRing: 1, Interest: bc.interest})
				if err != nil {
					b.Fatal(err)
				}
				stop := consume(p)
				with = append(with, run())
				stop()
				p.Close()
			}
			b.ReportMetric(sample.Median(without), "ns-without")
			b.ReportMetric(sample.Median(with), "ns-with")
			b.ReportMetric(sample.Median(with)-sample.Median(without), "ns-added")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func raw0(nr uintptr, a int, p *byte) uintptr {
	r, _, _ := unix.RawSyscall6(nr, uintptr(a), uintptr(unsafe.Pointer(p)), 0, 0, 0, 0)
	return r
}

func threadTime() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return t.Nano()
}
