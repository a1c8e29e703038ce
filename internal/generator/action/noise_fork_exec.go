package action

var noiseForkExec = Action{
	Name:    "noise.ForkExec",
	Summary: "start a process that ends at once",
	RuleSet: NoRule,
	Spawns:  []string{"peregrine-noise"},
	Needs:   Needs{Place: Anywhere},
	Cost:    Process, Bench: BenchSlow, BenchWhy: "a process for each", Default: true,
	prepare: spawns(program{name: "peregrine-noise"}),
}
