package action

import "golang.org/x/sys/unix"

var modifyShellConfigurationFile = Action{
	Name:    "syscall.ModifyShellConfigurationFile",
	Summary: "open a .bashrc in a scratch directory for writing",
	Rule:    "Modify Shell Configuration File", RuleSet: Incubating,
	Tags:  []string{"filesystem", "mitre_persistence", "T1546.004"},
	Needs: Needs{Place: Anywhere},
	Cost:  Fast, Bench: BenchYes,
	prepare: creating(".bashrc", func(path cpath) error { return openClose(path, unix.O_WRONLY|unix.O_CREAT, 0o644) }),
}
