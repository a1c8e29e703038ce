package action

var writeBelowMonitoredDir = Action{
	Name:    "syscall.WriteBelowMonitoredDir",
	Summary: "open a file in /lib for writing",
	Rule:    "Write below monitored dir", RuleSet: Sandbox,
	Tags:    []string{"filesystem", "mitre_persistence", "T1543"},
	Touches: []string{"/lib"},
	Needs:   Needs{Place: Anywhere, Root: true},
	Cost:    Fast, Bench: BenchYes,
	prepare: creatingIn("/lib", ""),
}
