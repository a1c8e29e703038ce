package procfs

import "strings"

// Cgroup is a line of /proc/PID/cgroup: cgroups(7).
type Cgroup struct {
	Subsystems string // "cpu,cpuacct", "name=systemd"; "" for version 2
	Path       string // from the root of the reader's cgroup namespace
	V2         bool
}

// Controllers are the v1 controllers, or the name, of the hierarchy.
func (c Cgroup) Controllers() []string {
	if c.Subsystems == "" {
		return nil
	}
	return strings.Split(c.Subsystems, ",")
}

// ParseCgroups reads the text of a cgroup file, "ID:SUBSYSTEMS:PATH" lines.
// Nothing in it is escaped: the kernel refuses cgroups with a newline in their
// name for that reason (kernel/cgroup/cgroup.c: cgroup_mkdir).
func ParseCgroups(text string) []Cgroup {
	var cgroups []Cgroup
	for line := range strings.Lines(text) {
		part := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(part) != 3 {
			continue
		}
		c := Cgroup{Subsystems: part[1], Path: part[2], V2: part[0] == "0" && part[1] == ""}
		if c.V2 { // removed while the process was in it (proc_cgroup_show)
			c.Path = strings.TrimSuffix(c.Path, " (deleted)")
		}
		cgroups = append(cgroups, c)
	}
	return cgroups
}
