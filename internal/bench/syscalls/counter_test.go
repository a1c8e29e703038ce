package syscalls

import (
	"os"
	"syscall"
	"testing"
)

// attach skips without the privileges, unless they are required.
func attach(t testing.TB) *Counter {
	t.Helper()
	c, err := Attach()
	if err != nil {
		if os.Getenv("PEREGRINE_REQUIRE_BPF") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestCountsEverySyscall(t *testing.T) {
	c := attach(t)
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

// BenchmarkCost is the price of one syscall with no counter, with one, and
// with a second one on top: what a sensor's own hook leaves to pay.
func BenchmarkCost(b *testing.B) {
	loop := func(b *testing.B) {
		for b.Loop() {
			syscall.Getppid()
		}
	}
	b.Run("none", loop)
	b.Run("one", func(b *testing.B) { attach(b); loop(b) })
	b.Run("two", func(b *testing.B) { attach(b); attach(b); loop(b) })
}
