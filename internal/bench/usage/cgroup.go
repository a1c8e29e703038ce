package usage

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// cgroup is where the figures of a process's control group are; empty paths
// are figures that the host does not have.
type cgroup struct {
	name      string
	cpuStat   string
	memory    string
	memEvents string
}

type cgroupSample struct {
	throttled int64
	throttles uint64
	memory    uint64
	oomKills  uint64
}

// findCgroup looks pid's control groups up, v1 and v2, below root. The root
// cgroups are left out: what they count is the host's, not the process's.
func findCgroup(root string, pid int) cgroup {
	own, err := os.ReadFile(filepath.Join(root, fmt.Sprintf("proc/%d/cgroup", pid)))
	if err != nil {
		return cgroup{}
	}
	mounts := cgroupMounts(root)
	var c cgroup
	for line := range strings.Lines(string(own)) {
		// "4:memory:/path", or "0::/path" for v2 (cgroups(7)).
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || parts[2] == "/" {
			continue
		}
		for _, controller := range strings.Split(parts[1], ",") {
			if mount, ok := mounts[controller]; ok {
				c.add(controller, parts[2], filepath.Join(root, mount, parts[2]))
			}
		}
	}
	return c
}

func (c *cgroup) add(controller, name, dir string) {
	file := func(field *string, base string) {
		path := filepath.Join(dir, base)
		if _, err := os.Stat(path); err == nil {
			*field, c.name = path, name
		}
	}
	switch controller {
	case "":
		file(&c.cpuStat, "cpu.stat")
		file(&c.memory, "memory.current")
		file(&c.memEvents, "memory.events")
	case "cpu":
		file(&c.cpuStat, "cpu.stat")
	case "memory":
		file(&c.memory, "memory.usage_in_bytes")
		file(&c.memEvents, "memory.oom_control")
	}
}

// cgroupMounts maps controllers ("" for v2) to mount points.
func cgroupMounts(root string) map[string]string {
	mounts := make(map[string]string)
	text, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return mounts
	}
	for line := range strings.Lines(string(text)) {
		// "... mount-point options [optional fields] - type source super-options"
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 3 {
			continue
		}
		switch r[0] {
		case "cgroup2":
			mounts[""] = l[4]
		case "cgroup":
			options := strings.Split(r[2], ",")
			for _, controller := range []string{"cpu", "memory"} {
				if slices.Contains(options, controller) {
					mounts[controller] = l[4]
				}
			}
		}
	}
	return mounts
}

func (c *cgroup) read() (s cgroupSample) {
	for key, n := range keyed(c.cpuStat) {
		switch key {
		case "nr_throttled":
			s.throttles = n
		case "throttled_usec": // v2
			s.throttled = int64(n) * 1000
		case "throttled_time": // v1
			s.throttled = int64(n)
		}
	}
	s.oomKills = keyed(c.memEvents)["oom_kill"]
	if c.memory != "" {
		text, _ := os.ReadFile(c.memory)
		s.memory, _ = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	}
	return s
}

// keyed reads a file of "key value" lines; nil if there is none.
func keyed(path string) map[string]uint64 {
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	values := make(map[string]uint64)
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			values[key] = n
		}
	}
	return values
}
