package limit

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage reads the counters of the cgroup.
func (c *cgroup) Usage() (Usage, error) { return readUsage(c.version, c.dirs) }

// readUsage reads the counters of the directories dirs, by controller.
func readUsage(version int, dirs map[string]string) (Usage, error) {
	if version == 2 {
		return readUsage2(dirs["cpu"])
	}
	return readUsage1(dirs)
}

// readUsage2 reads a version 2 cgroup
// (Documentation/admin-guide/cgroup-v2.rst).
func readUsage2(dir string) (Usage, error) {
	cpu, err := readCounters(filepath.Join(dir, "cpu.stat"))
	if err != nil {
		return Usage{}, err
	}
	// Each of these may be missing: memory.peak came with Linux 5.19.
	events, _ := readCounters(filepath.Join(dir, "memory.events"))
	current, _ := readInt(filepath.Join(dir, "memory.current"))
	peak, _ := readInt(filepath.Join(dir, "memory.peak"))
	return Usage{
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
func readUsage1(dirs map[string]string) (Usage, error) {
	cpu, err := readCounters(filepath.Join(dirs["cpu"], "cpu.stat"))
	if err != nil {
		return Usage{}, err
	}
	memory := dirs["memory"]
	oom, _ := readCounters(filepath.Join(memory, "memory.oom_control"))
	current, _ := readInt(filepath.Join(memory, "memory.usage_in_bytes"))
	peak, _ := readInt(filepath.Join(memory, "memory.max_usage_in_bytes"))
	hits, _ := readInt(filepath.Join(memory, "memory.failcnt"))
	used := int64(0)
	if dir, ok := dirs["cpuacct"]; ok {
		used, _ = readInt(filepath.Join(dir, "cpuacct.usage"))
	}
	return Usage{
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

// readCounters reads a flat-keyed file: lines of "name number".
func readCounters(path string) (map[string]uint64, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	counters := map[string]uint64{}
	for n, line := range strings.Split(text, "\n") {
		name, value, _ := strings.Cut(line, " ")
		if name == "" {
			continue
		}
		counters[name], err = strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: expected a name and a number, got %q", path, n+1, line)
		}
	}
	return counters, nil
}
