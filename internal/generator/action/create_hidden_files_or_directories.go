package action

import "golang.org/x/sys/unix"

var createHiddenFilesOrDirectories = Action{
	Name:    "syscall.CreateHiddenFilesOrDirectories",
	Summary: "open a file whose name starts with a dot with O_CREAT",
	Rule:    "Create Hidden Files or Directories", RuleSet: Sandbox, RuleOff: true,
	Tags:  []string{"filesystem", "mitre_defense_evasion", "T1564.001"},
	Needs: Needs{Place: Anywhere},
	Cost:  Fast, Bench: BenchYes,
	prepare: creating(".hidden", func(path cpath) error { return openClose(path, unix.O_WRONLY|unix.O_CREAT, 0o644) }),
}
