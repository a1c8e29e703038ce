package action

import "golang.org/x/sys/unix"

// The file is a plain one in a scratch directory: nothing escapes.
var detectReleaseAgentFileContainerEscapes = Action{
	Name:    "syscall.DetectReleaseAgentFileContainerEscapes",
	Summary: "open a file called release_agent for writing, in a container with CAP_SYS_ADMIN",
	Rule:    "Detect release_agent File Container Escapes", RuleSet: Stable,
	Tags:  []string{"process", "mitre_privilege_escalation", "T1611"},
	Needs: Needs{Place: Container, Root: true},
	Cost:  Fast, Bench: BenchYes, Default: true,
	prepare: creating("release_agent", func(path cpath) error { return openClose(path, unix.O_WRONLY|unix.O_CREAT, 0o644) }),
}
