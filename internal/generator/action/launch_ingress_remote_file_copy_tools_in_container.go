package action

var launchIngressRemoteFileCopyToolsInContainer = Action{
	Name:    "syscall.LaunchIngressRemoteFileCopyToolsInContainer",
	Summary: "start a process called wget",
	Rule:    "Launch Ingress Remote File Copy Tools in Container", RuleSet: Incubating,
	Tags:   []string{"network", "process", "mitre_command_and_control", "TA0011"},
	Spawns: []string{"wget"},
	Needs:  Needs{Place: Container},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "wget", args: []string{"-V"}}),
}
