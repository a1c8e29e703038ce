package action

var systemUserInteractive = Action{
	Name:    "syscall.SystemUserInteractive",
	Summary: "the user nobody starts a process called login",
	Rule:    "System user interactive", RuleSet: Stable,
	Tags:   []string{"users", "mitre_execution", "T1059"},
	Spawns: []string{"login"},
	Needs:  Needs{Place: Anywhere, Root: true},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each", Default: true,
	prepare: spawns(program{name: "login", nobody: true}),
}
