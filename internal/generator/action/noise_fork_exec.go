package action

// The number of syscalls is about that of the Go runtime's start: it grows with
// the number of CPUs.
var noiseForkExec = Action{
	Name:    "noise.ForkExec",
	Summary: "start a process that ends at once",
	RuleSet: NoRule,
	Spawns:  []string{"peregrine-noise"},
	Needs:   Needs{Place: Anywhere},
	Cost:    Process, Bench: BenchSlow, BenchWhy: "a process for each", Default: true, Syscalls: 320,
	prepare: spawns(program{name: "peregrine-noise"}),
}
