package action

import "golang.org/x/sys/unix"

var containerDriftDetectedOpenCreate = Action{
	Name:    "syscall.ContainerDriftDetectedOpenCreate",
	Summary: "create an executable file",
	Rule:    "Container Drift Detected (open+create)", RuleSet: Sandbox, RuleOff: true,
	Tags:  []string{"filesystem", "mitre_execution", "T1059"},
	Needs: Needs{Place: Container},
	Cost:  Fast, Bench: BenchYes,
	prepare: creating("drift", func(path cpath) error { return openClose(path, unix.O_WRONLY|unix.O_CREAT, 0o755) }),
}
