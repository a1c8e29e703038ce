package usage

import (
	"path/filepath"

	linuxcgroup "github.com/peregrine-sec/peregrine/internal/linux/cgroup"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// cgroup is where the figures of a process's control group are.
type cgroup struct {
	name string
	dirs map[string]string // by controller
}

// findCgroup looks pid's control groups up, v1 and v2, below root. The root
// cgroups are left out: they count the host, not the process.
func findCgroup(root string, pid int) cgroup {
	c := cgroup{dirs: map[string]string{}}
	own, err := procfs.Root(filepath.Join(root, "proc")).Cgroups(pid)
	if err != nil {
		return c
	}
	trees, err := linuxcgroup.Trees(root)
	if err != nil {
		return c
	}
	for _, tree := range trees {
		name, dir, err := tree.Find(own)
		if err != nil || name == "/" {
			continue
		}
		for _, controller := range []string{"cpu", "memory"} {
			if tree.Has(controller) {
				c.name, c.dirs[controller] = name, dir
			}
		}
	}
	return c
}

func (c *cgroup) read() linuxcgroup.Usage {
	// Unreadable counters are zero: the host does not have them, or the cgroup
	// is gone.
	u, _ := linuxcgroup.ReadUsage(c.dirs)
	return u
}
