package action

var writeBelowRoot = Action{
	Name:    "syscall.WriteBelowRoot",
	Summary: "open a file in /root for writing",
	Rule:    "Write below root", RuleSet: Sandbox,
	Tags:    []string{"filesystem", "mitre_persistence", "TA0003"},
	Touches: []string{"/root"},
	Needs:   Needs{Place: Anywhere, Root: true},
	Cost:    Fast, Bench: BenchYes,
	prepare: creatingIn("/root", ""),
}
