package action

var helperExecLs = Action{
	Name:    "helper.ExecLs",
	Summary: "start a process called ls",
	RuleSet: NoRule,
	Spawns:  []string{"ls"},
	Needs:   Needs{Place: Anywhere},
	Cost:    Process, Bench: BenchNo, BenchWhy: "fires no rule", Default: true,
	prepare: spawns(program{name: "ls"}),
}
