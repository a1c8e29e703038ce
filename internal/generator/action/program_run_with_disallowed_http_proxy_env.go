package action

var programRunWithDisallowedHttpProxyEnv = Action{
	Name:    "syscall.ProgramRunWithDisallowedHttpProxyEnv",
	Summary: "start a process called curl with HTTP_PROXY set",
	Rule:    "Program run with disallowed http proxy env", RuleSet: Incubating,
	Tags:   []string{"users", "mitre_execution", "T1204"},
	Spawns: []string{"curl"},
	Needs:  Needs{Place: Anywhere},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "curl", args: []string{"http://192.0.2.1"}, env: []string{"HTTP_PROXY=http://192.0.2.1:3128"}}),
}
