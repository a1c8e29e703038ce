package cgroup

import (
	"path/filepath"
	"time"
)

// Usage is a reading of a cgroup's counters. Counters that the kernel does not
// offer are zero.
type Usage struct {
	CPU              time.Duration `json:"cpu_ns"`            // consumed, user and system
	Periods          uint64        `json:"periods"`           // enforcement intervals in which the cgroup ran
	ThrottledPeriods uint64        `json:"throttled_periods"` // of these, the ones in which the quota ran out
	Throttled        time.Duration `json:"throttled_ns"`      // summed over the cgroup's CPUs
	Memory           uint64        `json:"memory"`            // charged now, page cache and BPF maps included; bytes
	MemoryPeak       uint64        `json:"memory_peak"`       // highest charge ever; bytes
	MemoryHits       uint64        `json:"memory_hits"`       // times the memory limit was reached
	OOMKills         uint64        `json:"oom_kills"`         // processes killed for it
}

// Sub returns the growth of the counters since earlier; the gauges Memory and
// MemoryPeak stay as they are.
func (u Usage) Sub(earlier Usage) Usage {
	u.CPU -= earlier.CPU
	u.Periods -= earlier.Periods
	u.ThrottledPeriods -= earlier.ThrottledPeriods
	u.Throttled -= earlier.Throttled
	u.MemoryHits -= earlier.MemoryHits
	u.OOMKills -= earlier.OOMKills
	return u
}

// ReadUsage reads the counters of a cgroup from its directories by controller,
// under the names of either version (Documentation/admin-guide: cgroup-v2.rst,
// cgroup-v1/memory.rst; scheduler/sched-bwc.rst). Its error is that of cpu.stat;
// any other file may be missing: memory.peak came with Linux 5.19.
func ReadUsage(dirs map[string]string) (Usage, error) {
	path := func(controller, name string) string { return filepath.Join("/", dirs[controller], name) }
	first := func(controller string, names ...string) uint64 {
		for _, name := range names {
			if n, err := ReadInt(path(controller, name)); err == nil {
				return uint64(n)
			}
		}
		return 0
	}
	cpu, err := Counters(path("cpu", "cpu.stat"))
	u := Usage{
		CPU:              time.Duration(cpu["usage_usec"]*1000 + first("cpuacct", "cpuacct.usage")),
		Periods:          cpu["nr_periods"],
		ThrottledPeriods: cpu["nr_throttled"],
		Throttled:        time.Duration(cpu["throttled_usec"]*1000 + cpu["throttled_time"]),
		Memory:           first("memory", "memory.current", "memory.usage_in_bytes"),
		MemoryPeak:       first("memory", "memory.peak", "memory.max_usage_in_bytes"),
	}
	u.MemoryPeak = max(u.MemoryPeak, u.Memory)
	if events, failed := Counters(path("memory", "memory.events")); failed == nil {
		u.MemoryHits, u.OOMKills = events["max"], events["oom_kill"]
		return u, err
	}
	control, _ := Counters(path("memory", "memory.oom_control"))
	u.MemoryHits, u.OOMKills = first("memory", "memory.failcnt"), control["oom_kill"]
	return u, err
}
