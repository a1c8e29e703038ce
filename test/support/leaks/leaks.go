// Package leaks fails the tests of a package that leave goroutines or descriptors
// behind.
package leaks

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime/metrics"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main runs the tests of a package and ends the process, for TestMain.
func Main(m Tests, options ...goleak.Option) { os.Exit(Run(m, options...)) }

// Tests are a *testing.M, or one with something to end after it.
type Tests interface{ Run() int }

// Run is Main for a TestMain with more to do before the process ends: it
// returns the exit code.
func Run(m Tests, options ...goleak.Option) int {
	before := open()
	code := m.Run()
	if code == 0 {
		if err := settled(before, options...); err != nil {
			fmt.Fprintf(os.Stderr, "left behind by the tests:\n%v\n", err)
			code = 1
		}
	}
	return code
}

// patience is how long stopped work may take to end. A loaded machine with the
// race detector may need many seconds.
const patience = 60 * time.Second

// settled waits until no goroutine is left, and no descriptor that was not open
// before. It costs nothing if this is so at once.
func settled(before map[string]int, options ...goleak.Option) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := errors.Join(goleak.Find(options...), compare(before, open()))
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// open counts this process's descriptors by target.
func open() map[string]int {
	const dir = "/proc/self/fd"
	count := map[string]int{}
	list, _ := os.ReadDir(dir) // empty where there is no /proc, before and after
	for _, item := range list {
		// The one that was used to list them is gone by now.
		if target, err := os.Readlink(dir + "/" + item.Name()); err == nil {
			count[target]++
		}
	}
	return count
}

// runtimes are descriptors that the Go runtime opens once, at first use.
var runtimes = []string{"anon_inode:[eventpoll]", "anon_inode:[eventfd]"}

func compare(before, now map[string]int) error {
	var errs []error
	for _, target := range slices.Sorted(maps.Keys(now)) {
		was := before[target]
		if slices.Contains(runtimes, target) {
			was = max(was, 1)
		}
		if now[target] > was {
			errs = append(errs, fmt.Errorf("%d descriptors of %s, %d before", now[target], target, was))
		}
	}
	return errors.Join(errs...)
}

// Within fails a test in which do allocates more than most bytes. The sum counts
// memory that is freed meanwhile, so it is at least the peak.
func Within(t testing.TB, most uint64, do func()) {
	t.Helper()
	before := allocated()
	do()
	if took := allocated() - before; took > most {
		t.Errorf("%d MiB allocated, want at most %d", took>>20, most>>20)
	}
}

// allocated is the sum of all allocations of this process so far, in bytes.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
