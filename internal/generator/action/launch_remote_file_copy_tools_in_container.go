package action

var launchRemoteFileCopyToolsInContainer = Action{
	Name:    "syscall.LaunchRemoteFileCopyToolsInContainer",
	Summary: "start a process called scp",
	Rule:    "Launch Remote File Copy Tools in Container", RuleSet: Incubating,
	Tags:   []string{"network", "process", "mitre_exfiltration", "T1020"},
	Spawns: []string{"scp"},
	Needs:  Needs{Place: Container},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "scp"}),
}
