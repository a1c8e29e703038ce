package action

var detectCryptoMinersUsingTheStratumProtocol = Action{
	Name:    "syscall.DetectCryptoMinersUsingTheStratumProtocol",
	Summary: "start a process with a stratum+tcp address among its arguments",
	Rule:    "Detect crypto miners using the Stratum protocol", RuleSet: Sandbox,
	Tags:   []string{"process", "mitre_impact", "T1496"},
	Spawns: []string{"echo"},
	Needs:  Needs{Place: Anywhere},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "echo", args: []string{"-o", "stratum+tcp://pool.invalid:3333"}}),
}
