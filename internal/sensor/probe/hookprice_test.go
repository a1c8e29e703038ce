package probe

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var prices = flag.Bool("hook-prices", false, "print what syscalls cost without a sensor, and by each of its hooks")

// Cost of syscalls in three ways, for docs/benchmarks.md; a median of rounds of
// all three in turn, so that a drift of the machine falls on each.
//
//	go run ./test/kernels -v -only 'functions=HookPrices -hook-prices' 6.12
func TestHookPrices(t *testing.T) {
	if !*prices {
		return
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	fd := int(raw(unix.SYS_OPENAT, unix.AT_FDCWD, file, unix.O_RDWR))
	path, _ := unix.BytePtrFromString(file)
	b := buffer(1)
	calls := []struct {
		name string
		do   func()
	}{
		{"getpid", func() { unix.RawSyscall(unix.SYS_GETPID, 0, 0, 0) }},
		{"read", func() { unix.RawSyscall6(unix.SYS_PREAD64, uintptr(fd), uintptr(b), 1, 0, 0, 0) }},
		{"write", func() { unix.RawSyscall6(unix.SYS_PWRITE64, uintptr(fd), uintptr(b), 1, 0, 0, 0) }},
		{"openat, close", func() {
			fd, _, _ := unix.RawSyscall6(unix.SYS_OPENAT, ^uintptr(99) /* AT_FDCWD */, uintptr(unsafe.Pointer(path)), 0, 0, 0, 0)
			unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
		}},
	}
	// Of those that are measured, openat is looked at.
	in := Interest{Syscalls: ids("openat", "connect", "unlinkat", "execve", "setuid")}
	const rounds, each = 5, 20_000
	took := map[Hooks][][]time.Duration{"": make([][]time.Duration, len(calls)), Tracepoint: make([][]time.Duration, len(calls)), Functions: make([][]time.Duration, len(calls))}
	for range rounds {
		for hooks := range took {
			var p *Probe
			if hooks != "" {
				var err error
				if p, err = Load(Options{Hooks: hooks, Interest: in, underWay: time.Millisecond}); err != nil {
					t.Fatal(err)
				}
				if hooks == Functions {
					if in := awaitFunctions(t, p); in.Hooks != Functions {
						_ = p.Close() // measured nothing
						t.Skip(in.Why)
					}
				}
			}
			for i, c := range calls {
				start := time.Now()
				for range each {
					c.do()
				}
				took[hooks][i] = append(took[hooks][i], time.Since(start)/each)
			}
			if p != nil {
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	median := func(hooks Hooks, i int) time.Duration {
		slices.Sort(took[hooks][i])
		return took[hooks][i][rounds/2]
	}
	for i, c := range calls {
		none := median("", i)
		t.Logf("%s: no sensor %v, tracepoint %v (%.2f), functions %v (%.2f)", c.name, none,
			median(Tracepoint, i), float64(median(Tracepoint, i))/float64(none),
			median(Functions, i), float64(median(Functions, i))/float64(none))
	}
}
