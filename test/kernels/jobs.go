package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// job is one test binary and the tests of it that run in the machine; without
// tests it is a command.
type job struct {
	name, pkg, tests, flags string
	programs                *programSet // that only this job needs
	// alone: the job runs if it is asked for, on one CPU whose clock counts
	// instructions.
	alone bool
	// kernel is put on the kernel's command line. Jobs with different words run in
	// machines of their own.
	kernel string
}

// jobs run in this order, one after the other.
var jobs = []job{
	{name: "probe", pkg: "./internal/sensor/probe", tests: "."},
	// Programs load the same, whatever the hooks, and a wrong family is one of the
	// tracepoint's tables; both tests take minutes here.
	{name: "functions", pkg: "./internal/sensor/probe", tests: ".", flags: "-hooks=functions -test.skip=ProgramsLoad|WrongFamily"},
	{name: "state", pkg: "./internal/sensor/state", tests: "SnapshotIsWhatProcSays|ForkStorm"},
	{name: "counter", pkg: "./internal/bench/syscalls", tests: "."},
	{name: "sensor", pkg: "./test/e2e", tests: "SensitiveFile|Unshare"},
	{name: "integrity", pkg: "./internal/sensor/probe", tests: "LockedDown", kernel: "lockdown=integrity"},
	{name: "confidentiality", pkg: "./internal/sensor/probe", tests: "LockedDown", kernel: "lockdown=confidentiality"},
	{name: "prices", pkg: "./test/speed", flags: "-prices -binary=/usr/bin/peregrine -runs=1 -seconds=1", programs: &redis, alone: true},
}

func jobNames() []string {
	var names []string
	for _, j := range jobs {
		names = append(names, j.name)
	}
	return names
}

// selectJobs reads a list such as "probe=TestOpen,sensor"; empty is all but
// those that run alone.
func selectJobs(only string) ([]job, error) {
	if only == "" {
		return slices.DeleteFunc(slices.Clone(jobs), func(j job) bool { return j.alone }), nil
	}
	var out []job
	for _, item := range strings.Split(only, ",") {
		name, tests, some := strings.Cut(item, "=")
		i := slices.IndexFunc(jobs, func(j job) bool { return j.name == name })
		if i < 0 {
			return nil, fmt.Errorf("job %q: expected one of %s", name, strings.Join(jobNames(), ", "))
		}
		j := jobs[i]
		if some {
			j.tests = tests
		}
		out = append(out, j)
	}
	if len(out) > 1 && slices.ContainsFunc(out, func(j job) bool { return j.alone }) {
		return nil, fmt.Errorf("jobs %q: one of them runs alone", only)
	}
	return out, nil
}

// machines are the jobs, by the words on the kernel's command line.
func machines(all []job) (out [][]job) {
	for _, j := range all {
		i := slices.IndexFunc(out, func(m []job) bool { return m[0].kernel == j.kernel })
		if i < 0 {
			i = len(out)
			out = append(out, nil)
		}
		out[i] = append(out[i], j)
	}
	return out
}

// program is the job's program inside the machine.
func (j job) program() string { return "/tests/" + filepath.Base(j.pkg) + ".test" }

// build are the arguments of go that build it.
func (j job) build() []string {
	if j.tests == "" {
		return []string{"build", j.pkg}
	}
	return []string{"test", "-c", j.pkg}
}

// line is init's line for the job, which gets the time of its machine.
func (j job) line(limit time.Duration) string {
	if j.tests == "" {
		return fmt.Sprintf("%s %s %s\n", j.name, j.program(), j.flags)
	}
	return fmt.Sprintf("%s %s -test.v -test.timeout=%v -test.run=%s %s\n", j.name, j.program(), limit, j.tests, j.flags)
}
