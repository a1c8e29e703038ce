package action

import "golang.org/x/sys/unix"

var readShellConfigurationFile = Action{
	Name:    "syscall.ReadShellConfigurationFile",
	Summary: "open a .bashrc in a scratch directory for reading",
	Rule:    "Read Shell Configuration File", RuleSet: Sandbox, RuleOff: true,
	Tags:  []string{"filesystem", "mitre_discovery", "T1546.004"},
	Needs: Needs{Place: Anywhere},
	Cost:  Fast, Bench: BenchYes,
	prepare: onFile(".bashrc", func(path cpath) error { return openClose(path, unix.O_RDONLY, 0) }),
}
