package run

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// Fingerprint reads the environment from the file system below root ("" for
// the running machine).
func Fingerprint(root, version string) capacity.Environment {
	read := func(path string) string {
		text, _ := os.ReadFile(filepath.Join(root+"/", path)) // a missing file leaves it empty
		return strings.TrimSpace(string(text))
	}
	e := capacity.Environment{
		CPUs: runtime.NumCPU(), Arch: runtime.GOARCH, Peregrine: version,
		CPU:      field(read("proc/cpuinfo"), "model name"),
		OS:       strings.Trim(field(strings.ReplaceAll(read("etc/os-release"), "=", ":"), "PRETTY_NAME"), `"`),
		Governor: read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
		Clock:    read("sys/devices/system/clocksource/clocksource0/current_clocksource"),
	}
	e.Hostname, _ = os.Hostname()
	e.Kernel = read("proc/sys/kernel/osrelease")
	if strings.Contains(field(read("proc/cpuinfo"), "flags")+" ", " hypervisor ") {
		e.Virtual = "virtual machine"
	}
	if kib, err := strconv.ParseInt(strings.TrimSuffix(field(read("proc/meminfo"), "MemTotal"), " kB"), 10, 64); err == nil {
		e.Memory = kib << 10
	}
	if text, _, _ := strings.Cut(read("proc/loadavg"), " "); text != "" {
		e.LoadBefore, _ = strconv.ParseFloat(text, 64)
	}
	e.Cgroup = cgroupVersions(read("proc/self/mountinfo"))
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

// field returns the value of the first "name : value" line.
func field(text, name string) string {
	lines := bufio.NewScanner(bytes.NewReader([]byte(text)))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func cgroupVersions(mountinfo string) string {
	v1, v2 := strings.Contains(mountinfo, " - cgroup "), strings.Contains(mountinfo, " - cgroup2 ")
	switch {
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

// falcosOf lists the processes of a Falco below root ("" for the running
// machine). A package starts one.
func falcosOf(root string) []string {
	files, _ := filepath.Glob(filepath.Join(root+"/", "proc/[0-9]*/comm")) // the pattern is well formed
	var pids []string
	for _, file := range files {
		if name, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(name)) == "falco" {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}

// CPUAffinity is the number of CPUs that this process may use, which caps
// limits.
func CPUAffinity() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return runtime.NumCPU()
	}
	return set.Count()
}
