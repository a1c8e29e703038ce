package action

var launchSuspiciousNetworkToolInContainer = Action{
	Name:    "syscall.LaunchSuspiciousNetworkToolInContainer",
	Summary: "start a process called nmap",
	Rule:    "Launch Suspicious Network Tool in Container", RuleSet: Incubating,
	Tags:   []string{"network", "process", "mitre_execution", "T1059"},
	Spawns: []string{"nmap"},
	Needs:  Needs{Place: Container},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "nmap", args: []string{"-sn", "192.0.2.0/24"}}),
}
