package limit

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// hierarchy is one mounted cgroup tree.
type hierarchy struct {
	version     int
	root        string // the cgroup that the mount point shows, "/" outside of containers
	dir         string // the mount point
	controllers []string
}

// hierarchies lists the cgroup trees in /proc/self/mountinfo (proc(5)).
func (h Host) hierarchies() ([]hierarchy, error) {
	text, err := readFile(h.path("proc/self/mountinfo"))
	if err != nil {
		return nil, err
	}
	var found []hierarchy
	for _, line := range strings.Split(text, "\n") {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 {
			continue
		}
		tree := hierarchy{root: left[3], dir: h.path(left[4])}
		switch right[0] {
		case "cgroup":
			tree.version, tree.controllers = 1, strings.Split(right[2], ",")
		case "cgroup2":
			tree.version = 2
			names, err := readFile(filepath.Join(tree.dir, "cgroup.controllers"))
			if err != nil {
				return nil, err
			}
			tree.controllers = strings.Fields(names)
		default:
			continue
		}
		found = append(found, tree)
	}
	return found, nil
}

// controllers are the ones a limit needs; cpuacct only where v1 has it, to
// read the consumption.
var controllers = []string{"cpu", "memory", "cpuacct"}

// trees returns, for each controller, the hierarchy that has it. Version 2
// wins where both have one, which the kernel does not allow.
func (h Host) trees() (map[string]hierarchy, error) {
	all, err := h.hierarchies()
	if err != nil {
		return nil, err
	}
	trees := map[string]hierarchy{}
	for _, tree := range all {
		for _, name := range controllers {
			if _, have := trees[name]; slices.Contains(tree.controllers, name) && (!have || tree.version == 2) {
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

// cgroupOf returns the directory of the cgroup in tree that pid belongs to
// (cgroups(7), /proc/pid/cgroup).
func (h Host) cgroupOf(pid int, tree hierarchy) (string, error) {
	file := fmt.Sprintf("proc/%d/cgroup", pid)
	text, err := readFile(h.path(file))
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(text, "\n") {
		part := strings.SplitN(line, ":", 3)
		if len(part) != 3 {
			continue
		}
		match := part[0] == "0" && part[1] == ""
		if tree.version == 1 {
			match = slices.Equal(strings.Split(part[1], ","), tree.controllers) ||
				slices.Contains(tree.controllers, strings.Split(part[1], ",")[0])
		}
		if !match {
			continue
		}
		inside, err := filepath.Rel(tree.root, part[2])
		if err != nil || strings.HasPrefix(inside, "..") {
			return "", fmt.Errorf("process %d is in cgroup %s, which the mount at %s does not show", pid, part[2], tree.dir)
		}
		return filepath.Join(tree.dir, inside), nil
	}
	return "", fmt.Errorf("/%s names no cgroup in the hierarchy at %s", file, tree.dir)
}
