package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// job is one test binary and the tests of it that run in the machine.
type job struct {
	name, pkg, tests, flags string
}

// jobs run in this order, one after the other.
var jobs = []job{
	{name: "probe", pkg: "./internal/sensor/probe", tests: "."},
	{name: "functions", pkg: "./internal/sensor/probe", tests: "HandOver|Killed|Seccomp|FunctionsOf|TestCompat$", flags: "-hooks=functions"},
	{name: "state", pkg: "./internal/sensor/state", tests: "SnapshotIsWhatProcSays|ForkStorm"},
	{name: "counter", pkg: "./internal/bench/syscalls", tests: "."},
	{name: "sensor", pkg: "./test/e2e", tests: "SensitiveFile|Unshare"},
}

func jobNames() []string {
	var names []string
	for _, j := range jobs {
		names = append(names, j.name)
	}
	return names
}

// selectJobs reads a list such as "probe=TestOpen,sensor"; empty is all.
func selectJobs(only string) ([]job, error) {
	if only == "" {
		return jobs, nil
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
	return out, nil
}

// program is the job's test binary inside the machine.
func (j job) program() string { return "/tests/" + filepath.Base(j.pkg) + ".test" }

// line is init's line for the job.
func (j job) line() string {
	return fmt.Sprintf("%s %s -test.v -test.timeout=15m -test.run=%s %s\n", j.name, j.program(), j.tests, j.flags)
}
