package generator

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/pace"
)

// BenchmarkAction measures the CPU time that the generator takes for an action,
// which depends less on other load than elapsed time does. At 10,000/s nearly
// each action has its own wake-up.
func BenchmarkAction(b *testing.B) {
	open := []Choice{{Name: "noise.OpenClose"}}
	for _, bench := range []struct {
		name string
		o    Options
	}{
		{"without a pause", Options{Actions: open}},
		{"10000 per second", Options{Actions: open, Rate: 10_000}},
		{"50000 per second", Options{Actions: open, Rate: 50_000}},
		{"50000 per second, ticks of noise", Options{Actions: open, Rate: 50_000, Tick: noiseTick}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			bench.o.Count, bench.o.Discard = uint64(b.N), true
			r, err := Run(b.Context(), bench.o, action.Env{Scratch: b.TempDir(), Prefix: "peregrine-bench-"})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(r.CPU.Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// The floor of BenchmarkAction: a loop of the same syscalls, with a sleep before
// each action or without one.
func BenchmarkSyscallsAlone(b *testing.B) {
	path := filepath.Join(b.TempDir(), "data")
	if err := os.WriteFile(path, []byte("harmless\n"), 0o644); err != nil {
		b.Fatal(err)
	}
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		b.Fatal(err)
	}
	for _, interval := range []time.Duration{0, 100 * time.Microsecond} {
		b.Run(fmt.Sprintf("every %v", interval), func(b *testing.B) {
			done := make(chan struct{})
			before := cpuTime()
			go func() {
				defer close(done)
				start := pace.NewStart()
				clock := pace.NewClock(start)
				dir := unix.AT_FDCWD
				for i := range b.N {
					if interval > 0 {
						at := time.Duration(i) * interval
						clock.SleepUntil(at, at)
					}
					fd, _, _ := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(name)), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
					_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
				}
			}()
			<-done
			b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// A longer tick does the same schedule in fewer wake-ups: none is nearer to the
// one before than a tick. A worker sleeps for an action if it was done with the
// one before when that was not due yet.
func TestTick(t *testing.T) {
	for _, tick := range []time.Duration{0, noiseTick, 5 * time.Millisecond} {
		o := Options{Actions: []Choice{{Name: "noise.OpenClose"}}, Rate: 20_000, Count: 1000, Tick: tick}
		r, err := Run(t.Context(), o, here(t))
		if err != nil {
			t.Fatal(err)
		}
		checkInstances(t, r)
		least := int64(cmp.Or(tick, defaultTick))
		woke, end := r.Instances[0].Start-least, r.Instances[0].End
		for i, in := range r.Instances[1:] {
			if due := int64(i+1) * 50_000; in.Planned-r.Start.UnixNano() != due {
				t.Fatalf("tick %v: action %d is due after %d ns, want %d", tick, i+1, in.Planned-r.Start.UnixNano(), due)
			}
			if end < in.Planned {
				if in.Start-woke < least {
					t.Fatalf("tick %v: action %d has a wake-up %d ns after the last", tick, i+1, in.Start-woke)
				}
				woke = in.Start
			}
			end = in.End
		}
	}
}
