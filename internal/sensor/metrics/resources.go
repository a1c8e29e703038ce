package metrics

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Resources is what the sensor and its host use. Bytes, and CPU time since
// the start of the process; shares of a CPU are the reader's to compute.
type Resources struct {
	CPUTime         Duration `json:"cpu_time"` // user and system
	Uptime          Duration `json:"uptime"`   // of the process
	RSS             uint64   `json:"rss"`
	VSZ             uint64   `json:"vsz"`
	PSS             uint64   `json:"pss"`
	ContainerMemory uint64   `json:"container_memory"` // of the sensor's cgroup
	HostCPU         float64  `json:"host_cpu"`         // share of all CPUs that was busy since boot, 0 to 1
	HostMemory      uint64   `json:"host_memory"`      // used
	HostProcs       uint64   `json:"host_procs_running"`
	HostOpenFDs     uint64   `json:"host_open_fds"`
	Goroutines      int      `json:"goroutines"`
	HeapInUse       uint64   `json:"heap_in_use"`
}

// clockTick is the unit of times in /proc; fixed at 100 for user space:
// include/uapi/asm-generic/param.h, USER_HZ.
const clockTick = 10 * time.Millisecond

// ReadResources reads them below proc, normally "/proc". What cannot be read
// stays zero, since no counter is worth stopping a sensor.
func ReadResources(proc string) Resources {
	r := Resources{Goroutines: runtime.NumGoroutine()}
	// Not runtime.ReadMemStats, which stops the detection goroutine.
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	r.HeapInUse = heap[0].Value.Uint64()
	r.readProcess(proc)
	r.readHost(proc)
	r.ContainerMemory = cgroupMemory(proc)
	return r
}

// readProcess reads the sensor's own entries: proc(5), self/stat fields 14,
// 15, 22 to 24 behind the name in parentheses.
func (r *Resources) readProcess(proc string) {
	stat := read(proc, "self/stat")
	if i := strings.LastIndexByte(stat, ')'); i >= 0 {
		if f := strings.Fields(stat[i+1:]); len(f) > 21 {
			r.CPUTime = time.Duration(number(f[11])+number(f[12])) * clockTick
			r.VSZ = number(f[20])
			r.RSS = number(f[21]) * uint64(os.Getpagesize())
			r.Uptime = max(0, sinceBoot()-time.Duration(number(f[19]))*clockTick)
		}
	}
	r.PSS = keyed(read(proc, "self/smaps_rollup"), "Pss:") << 10
}

func (r *Resources) readHost(proc string) {
	mem := read(proc, "meminfo")
	r.HostMemory = (keyed(mem, "MemTotal:") - keyed(mem, "MemAvailable:")) << 10
	stat := read(proc, "stat")
	r.HostProcs = keyed(stat, "procs_running")
	if f := strings.Fields(strings.SplitN(stat, "\n", 2)[0]); len(f) > 8 {
		var all uint64
		for _, x := range f[1:9] {
			all += number(x)
		}
		idle := number(f[4]) + number(f[5])
		if all > 0 {
			r.HostCPU = float64(all-idle) / float64(all)
		}
	}
	if f := strings.Fields(read(proc, "sys/fs/file-nr")); len(f) > 0 {
		r.HostOpenFDs = number(f[0])
	}
}

// cgroupMemory is the memory of the process's cgroup, in version 2 or 1.
func cgroupMemory(proc string) uint64 {
	for line := range strings.SplitSeq(read(proc, "self/cgroup"), "\n") {
		f := strings.SplitN(line, ":", 3)
		switch {
		case len(f) != 3:
		case f[0] == "0" && f[1] == "":
			if n := number(read("/sys/fs/cgroup", filepath.Join(f[2], "memory.current"))); n > 0 {
				return n
			}
		case f[1] == "memory":
			for _, dir := range []string{f[2], "/"} { // inside a container only "/" is mounted
				if n := number(read("/sys/fs/cgroup/memory", filepath.Join(dir, "memory.usage_in_bytes"))); n > 0 {
					return n
				}
			}
		}
	}
	return 0
}

// ReadHost describes the machine; what cannot be read stays empty.
func ReadHost(name string) Host {
	var uts unix.Utsname
	_ = unix.Uname(&uts) // cannot fail with a valid pointer
	return Host{
		Name:          name,
		KernelRelease: string(bytes.TrimRight(uts.Release[:], "\x00")),
		BootTime:      time.Now().Add(-sinceBoot()).UnixNano(),
		CPUs:          runtime.NumCPU(),
	}
}

func sinceBoot() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // exists since Linux 2.6.39
	return time.Duration(ts.Nano())
}

func read(dir, file string) string {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return ""
	}
	return string(text)
}

// number reads a decimal number; 0 if it is none.
func number(s string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimSpace(s), 10, 64)
	return n
}

// keyed is the number behind key at the start of a line.
func keyed(text, key string) uint64 {
	for line := range strings.SplitSeq(text, "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key {
			return number(f[1])
		}
	}
	return 0
}

// Bytes writes a size for people.
func Bytes(n uint64) string {
	for _, u := range []struct {
		size uint64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
