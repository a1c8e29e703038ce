package limit

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	linuxcgroup "github.com/peregrine-sec/peregrine/internal/linux/cgroup"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// controllers are the ones a limit needs; cpuacct only where v1 has it, to
// read the consumption.
var controllers = []string{"cpu", "memory", "cpuacct"}

// trees returns, for each controller, the hierarchy that has it. Version 2
// wins where both have one, which the kernel does not allow.
func (h Host) trees() (map[string]linuxcgroup.Tree, error) {
	all, err := linuxcgroup.Trees(h.Root)
	if err != nil {
		return nil, err
	}
	trees := map[string]linuxcgroup.Tree{}
	for _, tree := range all {
		for _, name := range controllers {
			if _, have := trees[name]; tree.Has(name) && (!have || tree.Version == 2) {
				trees[name] = tree
			}
		}
	}
	for _, name := range []string{"cpu", "memory"} {
		if _, ok := trees[name]; !ok {
			return nil, fmt.Errorf("no cgroup hierarchy with the %s controller is mounted; expected a cgroup2 at /sys/fs/cgroup or a v1 hierarchy at /sys/fs/cgroup/%s", name, name)
		}
	}
	return trees, nil
}

// cgroupOf returns the directory of the cgroup in tree that pid belongs to.
func (h Host) cgroupOf(pid int, tree linuxcgroup.Tree) (string, error) {
	own, err := procfs.Root(filepath.Join(h.Root+"/", "proc")).Cgroups(pid)
	if err != nil {
		return "", err
	}
	name, dir, err := tree.Find(own)
	switch {
	case errors.Is(err, linuxcgroup.ErrHidden):
		return "", fmt.Errorf("process %d is in cgroup %s, which the mount at %s does not show", pid, name, tree.Dir)
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("/proc/%d/cgroup names no cgroup in the hierarchy at %s", pid, tree.Dir)
	}
	return dir, err
}
