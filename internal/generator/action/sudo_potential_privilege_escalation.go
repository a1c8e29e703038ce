package action

var sudoPotentialPrivilegeEscalation = Action{
	Name:    "syscall.SudoPotentialPrivilegeEscalation",
	Summary: "the user nobody starts a process called sudoedit with -s and a backslash",
	Rule:    "Sudo Potential Privilege Escalation", RuleSet: Sandbox,
	Tags:   []string{"filesystem", "users", "mitre_privilege_escalation", "T1548.003"},
	Spawns: []string{"sudoedit"},
	Needs:  Needs{Place: Anywhere, Root: true},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "sudoedit", args: []string{"-s", "ls\\"}, nobody: true}),
}
