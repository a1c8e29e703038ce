package action

import "golang.org/x/sys/unix"

var readEnvironmentVariableFromProcFiles = Action{
	Name:    "syscall.ReadEnvironmentVariableFromProcFiles",
	Summary: "open /proc/self/environ for reading",
	Rule:    "Read environment variable from /proc files", RuleSet: Incubating,
	Tags:  []string{"filesystem", "process", "mitre_discovery", "T1083"},
	Needs: Needs{Place: Container},
	Cost:  Fast, Bench: BenchYes,
	prepare: func(*prep) (func() error, error) {
		path := c("/proc/self/environ")
		return func() error { return openClose(path, unix.O_RDONLY, 0) }, nil
	},
}
