package action

var helperRunShell = Action{
	Name:    "helper.RunShell",
	Summary: "start a process called sh",
	RuleSet: NoRule,
	Spawns:  []string{"sh"},
	Needs:   Needs{Place: Anywhere},
	Cost:    Process, Bench: BenchNo, BenchWhy: "fires no rule", Default: true,
	prepare: spawns(program{name: "sh", args: []string{"-c", "ls > /dev/null"}}),
}
