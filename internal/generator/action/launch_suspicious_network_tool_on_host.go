package action

var launchSuspiciousNetworkToolOnHost = Action{
	Name:    "syscall.LaunchSuspiciousNetworkToolOnHost",
	Summary: "start a process called nmap",
	Rule:    "Launch Suspicious Network Tool on Host", RuleSet: Incubating,
	Tags:   []string{"network", "process", "mitre_execution", "T1059"},
	Spawns: []string{"nmap"},
	Needs:  Needs{Place: Host},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each", Default: true,
	prepare: spawns(program{name: "nmap", args: []string{"-sn", "192.0.2.1/32"}}),
}
