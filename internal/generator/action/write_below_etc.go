package action

var writeBelowEtc = Action{
	Name:    "syscall.WriteBelowEtc",
	Summary: "open a file in /etc for writing",
	Rule:    "Write below etc", RuleSet: Sandbox,
	Tags:    []string{"filesystem", "mitre_persistence", "T1098"},
	Touches: []string{"/etc"},
	Needs:   Needs{Place: Anywhere, Root: true},
	Cost:    Fast, Bench: BenchYes,
	prepare: creatingIn("/etc", "-file"),
}
