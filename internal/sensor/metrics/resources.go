package metrics

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/linux/boottime"
	"github.com/peregrine-sec/peregrine/internal/linux/cgroup"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// Resources is the resource use of the sensor and its host. Bytes, and CPU time
// since the start of the process; shares of a CPU are the reader's to compute.
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

// ReadResources reads them below proc, normally "/proc". Unreadable values stay
// zero: no counter is worth stopping a sensor.
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

func (r *Resources) readProcess(proc string) {
	if s, err := procfs.Root(proc).Stat(0); err == nil {
		r.CPUTime, r.VSZ, r.RSS = s.User+s.System, s.Virtual, s.RSS
		r.Uptime = max(0, boottime.Now()-boottime.Of(s.StartTime()))
	}
	r.PSS = procfs.Number(read(proc, "self/smaps_rollup"), "Pss") << 10
}

func (r *Resources) readHost(proc string) {
	mem := read(proc, "meminfo")
	r.HostMemory = (procfs.Number(mem, "MemTotal") - procfs.Number(mem, "MemAvailable")) << 10
	stat := read(proc, "stat")
	r.HostProcs = procfs.Number(stat, "procs_running")
	if cpu := procfs.ParseCPU(stat); cpu.Total > 0 {
		r.HostCPU = float64(cpu.Total-cpu.Idle) / float64(cpu.Total)
	}
	r.HostOpenFDs = firstNumber(read(proc, "sys/fs/file-nr"))
}

// cgroupMemory is the memory of the sensor's cgroup, in version 2 or 1.
func cgroupMemory(proc string) uint64 {
	root := strings.TrimSuffix(proc, "/proc")
	own, err := procfs.Root(proc).Cgroups(0)
	trees, treesErr := cgroup.Trees(root)
	if err != nil || treesErr != nil {
		return 0
	}
	for _, tree := range trees {
		_, dir, err := tree.Find(own)
		if errors.Is(err, cgroup.ErrHidden) {
			dir, err = tree.Dir, nil // a container may see nothing but its own cgroup
		}
		if err != nil || tree.Version == 1 && !tree.Has("memory") {
			continue
		}
		file := "memory.current"
		if tree.Version == 1 {
			file = "memory.usage_in_bytes"
		}
		for _, dir := range []string{dir, tree.Dir} {
			if n, err := cgroup.ReadInt(filepath.Join(dir, file)); err == nil {
				return uint64(n)
			}
		}
	}
	return 0
}

// ReadHost describes the machine; unreadable fields stay empty.
func ReadHost(name string) Host {
	return Host{
		Name:          name,
		KernelRelease: procfs.Host.Kernel(),
		BootTime:      boottime.Epoch(),
		CPUs:          runtime.NumCPU(),
		Interfaces:    interfaces(),
	}
}

// interfaces are those of this network namespace that have addresses.
func interfaces() []Interface {
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var found []Interface
	for _, i := range all {
		addresses, err := i.Addrs()
		if err != nil || len(addresses) == 0 {
			continue
		}
		described := Interface{Name: i.Name}
		for _, a := range addresses {
			ip, _, err := net.ParseCIDR(a.String())
			switch {
			case err != nil:
			case ip.To4() != nil:
				described.IPv4 = append(described.IPv4, ip.String())
			default:
				described.IPv6 = append(described.IPv6, ip.String())
			}
		}
		found = append(found, described)
	}
	return found
}

func read(dir, file string) string {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return ""
	}
	return string(text)
}

func firstNumber(s string) uint64 {
	first, _, _ := strings.Cut(s, "\t")
	n, _ := strconv.ParseUint(first, 10, 64)
	return n
}
