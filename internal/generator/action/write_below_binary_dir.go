package action

// The file stays until the end: unlinking it each time would fire the rule of
// ModifyBinaryDirs as well.
var writeBelowBinaryDir = Action{
	Name:    "syscall.WriteBelowBinaryDir",
	Summary: "open a file in /bin for writing",
	Rule:    "Write below binary dir", RuleSet: Sandbox,
	Tags:    []string{"filesystem", "mitre_persistence", "T1543"},
	Touches: []string{"/bin"},
	Needs:   Needs{Place: Anywhere, Root: true},
	Cost:    Fast, Bench: BenchYes,
	prepare: creatingIn("/bin", "-file"),
}
