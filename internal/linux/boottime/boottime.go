// Package boottime reads the clock by which the kernel dates events and
// processes: CLOCK_BOOTTIME of the machine. In a time namespace, which
// containers may have, clock_gettime(2) and /proc show other times: both add
// the namespace's offset, see time_namespaces(7).
package boottime

import (
	"bytes"
	"math"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Now is the time since the machine was started.
func Now() time.Duration { return Of(own()) }

// Of turns a time since the start as this process sees it, such as
// procfs.Stat.StartTime, into the machine's.
func Of(d time.Duration) time.Duration { return d - offset() }

func own() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // exists since Linux 2.6.39
	return time.Duration(ts.Nano())
}

// offset is the offset of this process's time namespace. It cannot change once
// a process is in the namespace (kernel/time/namespace.c,
// proc_timens_set_offset).
var offset = sync.OnceValue(func() time.Duration {
	text, err := os.ReadFile("/proc/self/timens_offsets")
	if err != nil {
		return 0 // the kernel has no time namespaces
	}
	return parse(text)
})

// parse finds the clock in lines of NAME SECONDS NANOSECONDS. The name is a
// number in Linux 5.5, CLOCK_BOOTTIME's.
const limit = math.MaxInt64 / int64(time.Second) // about

func parse(text []byte) time.Duration {
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		if len(f) != 3 || string(f[0]) != "boottime" && string(f[0]) != "7" {
			continue
		}
		seconds, err1 := strconv.ParseInt(string(f[1]), 10, 64)
		ns, err2 := strconv.ParseInt(string(f[2]), 10, 64)
		if err1 == nil && err2 == nil && seconds > -limit && seconds < limit {
			return time.Duration(seconds)*time.Second + time.Duration(ns)
		}
	}
	return 0
}

// Epoch is the machine's start in ns since the epoch, by the current setting of
// the clock: the offset to add to a time since boot. The two clocks cannot be
// read at once, and a thread that runs into its CPU quota in between sleeps for
// up to 100 ms: of several readings the one that took the least time counts.
func Epoch() int64 {
	const readings = 8
	best, epoch := time.Duration(math.MaxInt64), int64(0)
	for range readings {
		before := Now()
		var real unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_REALTIME, &real) // cannot fail
		if took := Now() - before; took < best {
			best, epoch = took, real.Nano()-int64(before+took/2)
		}
	}
	return epoch
}
