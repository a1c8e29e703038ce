package action

var createFilesBelowDev = Action{
	Name:    "syscall.CreateFilesBelowDev",
	Summary: "open a file directly below /dev with O_CREAT",
	Rule:    "Create files below dev", RuleSet: Incubating,
	Tags:    []string{"filesystem", "mitre_persistence", "T1543"},
	Touches: []string{"/dev"},
	Needs:   Needs{Place: Anywhere, Root: true},
	Cost:    Fast, Bench: BenchYes,
	prepare: creatingIn("/dev", ""),
}
