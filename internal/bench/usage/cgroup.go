package usage

import (
	"os"
	"path/filepath"

	linuxcgroup "github.com/peregrine-sec/peregrine/internal/linux/cgroup"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
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
// cgroups are left out: they count the host, not the process.
func findCgroup(root string, pid int) cgroup {
	own, err := procfs.Root(filepath.Join(root, "proc")).Cgroups(pid)
	if err != nil {
		return cgroup{}
	}
	trees, err := linuxcgroup.Trees(root)
	if err != nil {
		return cgroup{}
	}
	var c cgroup
	for _, tree := range trees {
		if name, dir, err := tree.Find(own); err == nil && name != "/" {
			c.add(tree, name, dir)
		}
	}
	return c
}

func (c *cgroup) add(tree linuxcgroup.Tree, name, dir string) {
	file := func(field *string, base string) {
		path := filepath.Join(dir, base)
		if _, err := os.Stat(path); err == nil {
			*field, c.name = path, name
		}
	}
	switch {
	case tree.Version == 2:
		file(&c.cpuStat, "cpu.stat")
		file(&c.memory, "memory.current")
		file(&c.memEvents, "memory.events")
	case tree.Has("cpu"):
		file(&c.cpuStat, "cpu.stat")
	case tree.Has("memory"):
		file(&c.memory, "memory.usage_in_bytes")
		file(&c.memEvents, "memory.oom_control")
	}
}

func (c *cgroup) read() (s cgroupSample) {
	// Unreadable counters are zero: the host does not have them, or the cgroup
	// is gone.
	cpu, _ := linuxcgroup.Counters(c.cpuStat)
	s.throttles = cpu["nr_throttled"]
	s.throttled = int64(cpu["throttled_usec"])*1000 + int64(cpu["throttled_time"]) // v2 or v1
	events, _ := linuxcgroup.Counters(c.memEvents)
	s.oomKills = events["oom_kill"]
	memory, _ := linuxcgroup.ReadInt(c.memory)
	s.memory = uint64(memory)
	return s
}
