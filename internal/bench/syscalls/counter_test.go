package syscalls

import (
	"runtime"
	"syscall"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// attach skips without the privileges, unless they are required.
func attach(t testing.TB, threads bool) *Counter {
	t.Helper()
	c, err := Attach(threads)
	needs.That(t, "eBPF", err)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestCountsEverySyscall(t *testing.T) {
	c := attach(t, false)
	before, _, err := c.Count()
	if err != nil {
		t.Fatal(err)
	}
	const n = 100_000
	for range n {
		syscall.Getppid()
	}
	after, elapsed, err := c.Count()
	if err != nil {
		t.Fatal(err)
	}
	if after-before < n || elapsed <= 0 {
		t.Errorf("counted %d in %v, want at least the %d made here", after-before, elapsed, n)
	}
}

func TestCountsThreadsApart(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := attach(t, true)
	const n = 50_000
	before, err := c.Thread(int32(syscall.Gettid()))
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		syscall.Getppid()
	}
	after, err := c.Thread(int32(syscall.Gettid()))
	if err != nil {
		t.Fatal(err)
	}
	// A few more are the scheduler's of Go, and those of Thread itself.
	if made := after - before; made < n || made > n+1000 {
		t.Errorf("counted %d of this thread, want the %d made", made, n)
	}
	if n, err := c.Thread(1 << 30); n != 0 || err != nil {
		t.Errorf("%d, %v of no thread", n, err)
	}
}

// BenchmarkCost is the price of one syscall with no counter, with one, and with
// a second one on top: the added cost of a counter beside a sensor's hook.
func BenchmarkCost(b *testing.B) {
	loop := func(b *testing.B) {
		for b.Loop() {
			syscall.Getppid()
		}
	}
	b.Run("none", loop)
	b.Run("one", func(b *testing.B) { attach(b, false); loop(b) })
	b.Run("threads", func(b *testing.B) { attach(b, true); loop(b) })
	b.Run("two", func(b *testing.B) { attach(b, false); attach(b, false); loop(b) })
}
