package action

var kubernetesClientToolLaunchedInContainer = Action{
	Name:    "syscall.KubernetesClientToolLaunchedInContainer",
	Summary: "start a process called kubectl",
	Rule:    "Kubernetes Client Tool Launched in Container", RuleSet: Sandbox,
	Tags:   []string{"mitre_execution", "T1610"},
	Spawns: []string{"kubectl"},
	Needs:  Needs{Place: Container},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "kubectl", args: []string{"version"}}),
}
