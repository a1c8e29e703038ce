package action

import "golang.org/x/sys/unix"

// The file is empty and not executable.
var setSetuidOrSetgidBit = Action{
	Name:    "syscall.SetSetuidOrSetgidBit",
	Summary: "set the setuid bit of a file in a scratch directory",
	Rule:    "Set Setuid or Setgid bit", RuleSet: Incubating,
	Tags:  []string{"process", "users", "mitre_privilege_escalation", "T1548.001"},
	Needs: Needs{Place: Anywhere},
	Cost:  Fast, Bench: BenchYes,
	prepare: onFile("setuid", func(path cpath) error { return chmod(path, unix.S_ISUID|0o644) }),
}
