package run

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// fingerprint reads the environment from the file system below root ("" for
// the running machine).
func fingerprint(root, version string) capacity.Environment {
	read := func(path string) string {
		text, _ := os.ReadFile(filepath.Join(root+"/", path)) // a missing file leaves it empty
		return strings.TrimSpace(string(text))
	}
	proc := procfs.Root(filepath.Join(root+"/", "proc"))
	m := proc.Machine()
	_, name, _ := strings.Cut("\n"+read("etc/os-release"), "\nPRETTY_NAME=")
	name, _, _ = strings.Cut(name, "\n")
	e := capacity.Environment{
		CPUs: runtime.NumCPU(), Arch: runtime.GOARCH, Peregrine: version,
		CPU: m.CPU, Kernel: m.Kernel, Memory: int64(m.Memory), LoadBefore: m.Load,
		OS:       strings.Trim(name, `"`),
		Governor: read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
		Clock:    read("sys/devices/system/clocksource/clocksource0/current_clocksource"),
		Cgroup:   cgroupVersions(proc),
	}
	e.Hostname, _ = os.Hostname()
	if m.Virtual {
		e.Virtual = "virtual machine"
	}
	return e
}

// idle measures how many CPUs are idle for some time; nil if the kernel does not
// tell.
func idle(ctx context.Context, cpus int, length time.Duration, read func() (procfs.CPU, error)) *float64 {
	before, err := read()
	if err != nil || wait.For(ctx, length) != nil {
		return nil
	}
	after, err := read()
	if err != nil || after.Total <= before.Total {
		return nil
	}
	free := float64(cpus) * float64(after.Idle-before.Idle) / float64(after.Total-before.Total)
	return &free
}

func cgroupVersions(proc procfs.Root) string {
	mounts, _ := proc.Mounts() // none where it cannot be read
	mounted := func(fs string) bool {
		return slices.ContainsFunc(mounts, func(m procfs.Mount) bool { return m.Type == fs })
	}
	switch v1, v2 := mounted("cgroup"), mounted("cgroup2"); {
	case v1 && v2:
		return "v1 and v2"
	case v1:
		return "v1"
	case v2:
		return "v2"
	}
	return "none"
}

// warnings lists conditions that make figures from this machine less certain.
func warnings(e capacity.Environment) []string {
	var found []string
	if e.CPUs < 4 {
		found = append(found, "fewer than 4 CPUs: the load generator and the sensor compete for them, and large limits may be limited by the generator")
	}
	if e.Governor != "" && e.Governor != "performance" {
		found = append(found, "CPU frequency governor is "+e.Governor+": figures depend on the clock rate of the moment")
	}
	if e.Busy() {
		found = append(found, "the machine was not idle before the run: "+e.Before())
	}
	return found
}

// cpuAffinity is the number of CPUs that this process may use, which caps
// limits.
func cpuAffinity() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return runtime.NumCPU()
	}
	return set.Count()
}
