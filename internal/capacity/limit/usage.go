package limit

import (
	"path/filepath"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	linuxcgroup "github.com/peregrine-sec/peregrine/internal/linux/cgroup"
)

// Usage reads the counters of the cgroup.
func (c *cgroup) Usage() (capacity.Usage, error) { return readUsage(c.version, c.dirs) }

// readUsage reads the counters of the directories dirs, by controller.
func readUsage(version int, dirs map[string]string) (capacity.Usage, error) {
	if version == 2 {
		return readUsage2(dirs["cpu"])
	}
	return readUsage1(dirs)
}

// readUsage2 reads a version 2 cgroup
// (Documentation/admin-guide/cgroup-v2.rst).
func readUsage2(dir string) (capacity.Usage, error) {
	cpu, err := linuxcgroup.Counters(filepath.Join(dir, "cpu.stat"))
	if err != nil {
		return capacity.Usage{}, err
	}
	// Each of these may be missing: memory.peak came with Linux 5.19.
	events, _ := linuxcgroup.Counters(filepath.Join(dir, "memory.events"))
	current, _ := linuxcgroup.ReadInt(filepath.Join(dir, "memory.current"))
	peak, _ := linuxcgroup.ReadInt(filepath.Join(dir, "memory.peak"))
	return capacity.Usage{
		CPU:              time.Duration(cpu["usage_usec"]) * time.Microsecond,
		Periods:          cpu["nr_periods"],
		ThrottledPeriods: cpu["nr_throttled"],
		Throttled:        time.Duration(cpu["throttled_usec"]) * time.Microsecond,
		Memory:           uint64(current),
		MemoryPeak:       uint64(max(peak, current)),
		MemoryHits:       events["max"],
		OOMKills:         events["oom_kill"],
	}, nil
}

// readUsage1 reads version 1 directories
// (Documentation/admin-guide/cgroup-v1/memory.rst, scheduler/sched-bwc.rst).
func readUsage1(dirs map[string]string) (capacity.Usage, error) {
	cpu, err := linuxcgroup.Counters(filepath.Join(dirs["cpu"], "cpu.stat"))
	if err != nil {
		return capacity.Usage{}, err
	}
	memory := dirs["memory"]
	oom, _ := linuxcgroup.Counters(filepath.Join(memory, "memory.oom_control"))
	current, _ := linuxcgroup.ReadInt(filepath.Join(memory, "memory.usage_in_bytes"))
	peak, _ := linuxcgroup.ReadInt(filepath.Join(memory, "memory.max_usage_in_bytes"))
	hits, _ := linuxcgroup.ReadInt(filepath.Join(memory, "memory.failcnt"))
	used := int64(0)
	if dir, ok := dirs["cpuacct"]; ok {
		used, _ = linuxcgroup.ReadInt(filepath.Join(dir, "cpuacct.usage"))
	}
	return capacity.Usage{
		CPU:              time.Duration(used),
		Periods:          cpu["nr_periods"],
		ThrottledPeriods: cpu["nr_throttled"],
		Throttled:        time.Duration(cpu["throttled_time"]),
		Memory:           uint64(current),
		MemoryPeak:       uint64(peak),
		MemoryHits:       uint64(hits),
		OOMKills:         oom["oom_kill"],
	}, nil
}
