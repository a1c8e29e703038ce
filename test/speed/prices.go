package main

import (
	"cmp"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sample"
)

// ways to observe syscalls; "" is without a sensor.
var ways = []string{"", "tracepoint", "functions"}

// prices prints what syscalls cost without a sensor and with each of its hooks,
// and the throughput of redis-benchmark: run by run, each in the three ways in
// turn.
func prices(o options) error {
	dir, err := os.MkdirTemp("", "speed")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	calls, done, err := pricedCalls(dir)
	if err != nil {
		return err
	}
	defer done()
	redis, length := redis(dir), time.Duration(o.seconds)*time.Second
	figures, inForce := map[string][]float64{}, map[string]string{}
	note := func(name, way string, figure float64) {
		log.Printf("%s, %s: %.4g", name, cmp.Or(way, "no sensor"), figure)
		figures[name+way] = append(figures[name+way], figure)
	}
	if redis.missing() == "" {
		if _, err := redis.rate(length); err != nil { // the first run takes longer
			return err
		}
	}
	for range o.runs {
		for _, way := range ways {
			said, err := priced(o.binary, way, func() error {
				for _, c := range calls {
					note(c.name, way, c.price())
				}
				if redis.missing() != "" {
					return nil
				}
				rate, err := redis.rate(length)
				note(redis.name, way, rate)
				return err
			})
			if err != nil {
				return fmt.Errorf("%s: %w", way, err)
			}
			inForce[way] = said
		}
	}
	fmt.Println("| what | no sensor | tracepoint | functions |\n|---|---|---|---|")
	for _, c := range calls {
		row(c.name, "%.0f ns", figures)
	}
	if program := redis.missing(); program == "" {
		row(redis.name, "%.0f per second", figures)
	} else {
		fmt.Printf("| %s | %s is not installed | | |\n", redis.name, program)
	}
	fmt.Printf("\nHooks in force with tracepoint: %s\nHooks in force with functions: %s\n", inForce["tracepoint"], inForce["functions"])
	return nil
}

func row(name, unit string, figures map[string][]float64) {
	alone := sample.Median(figures[name])
	fmt.Printf("| %s | "+unit+" |", name, alone)
	for _, way := range ways[1:] {
		f := sample.Median(figures[name+way])
		fmt.Printf(" "+unit+" (%.2f) |", f, f/alone)
	}
	fmt.Println()
}

// priced measures in one of the ways, and returns the hooks in force.
func priced(binary, way string, measure func() error) (said string, err error) {
	if way == "" {
		return "", measure()
	}
	before, err := onFunctions()
	if err != nil {
		return "", err
	}
	p, err := start(binary, way)
	if err != nil {
		return "", err
	}
	<-p.ready
	said, err = p.settle(way)
	if err == nil {
		err = measure()
	}
	return said, errors.Join(err, p.stop(), detached(before))
}

// detached waits until no more programs than before are on functions: the
// kernel detaches the sensor's after its end.
func detached(before int) error {
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		n, err := onFunctions()
		if err != nil || n <= before {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d functions are hooked after the end of the sensor, %d were before", n, before)
		}
	}
}

// onFunctions counts the host's programs on functions of syscalls.
func onFunctions() (n int, err error) {
	err = eachProgram(func(_ ebpf.ProgramID, p *ebpf.Program, name string) error {
		if p.Type() == ebpf.Tracing && strings.Contains(name, "_sys") {
			n++
		}
		return nil
	})
	return n, err
}

// pricedCall is a syscall, or two, whose price is taken.
type pricedCall struct {
	name string
	do   func()
}

func pricedCalls(dir string) (calls []pricedCall, done func(), err error) {
	zero, err := unix.Open("/dev/zero", unix.O_RDWR, 0) // takes writes too, as /dev/null does
	if err != nil {
		return nil, nil, err
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return nil, nil, err
	}
	path, err := unix.BytePtrFromString(file)
	if err != nil {
		return nil, nil, err
	}
	b, at := new(byte), unix.AT_FDCWD
	return []pricedCall{
		{"getpid", func() { _, _, _ = unix.RawSyscall(unix.SYS_GETPID, 0, 0, 0) }},
		{"read", func() { _, _, _ = unix.RawSyscall(unix.SYS_READ, uintptr(zero), uintptr(unsafe.Pointer(b)), 1) }},
		{"write", func() { _, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(zero), uintptr(unsafe.Pointer(b)), 1) }},
		{"openat, close", func() {
			fd, _, _ := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(path)), 0, 0, 0, 0)
			_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
		}},
	}, func() { unix.Close(zero) }, nil
}

// price is of the cheapest batch, in ns of this thread's time: this leaves out
// other programs as far as possible.
func (c pricedCall) price() float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const batches, each = 20, 2000
	best := time.Duration(0)
	for range batches {
		begin := threadTime()
		for range each {
			c.do()
		}
		if took := threadTime() - begin; best == 0 || took < best {
			best = took
		}
	}
	return float64(best.Nanoseconds()) / each
}

func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // cannot fail
	return time.Duration(t.Nano())
}
