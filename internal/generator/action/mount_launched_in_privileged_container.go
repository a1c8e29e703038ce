package action

var mountLaunchedInPrivilegedContainer = Action{
	Name:    "syscall.MountLaunchedInPrivilegedContainer",
	Summary: "start a process called mount",
	Rule:    "Mount Launched in Privileged Container", RuleSet: Incubating,
	Tags:   []string{"cis", "filesystem", "mitre_privilege_escalation", "T1611"},
	Spawns: []string{"mount"},
	Needs:  Needs{Place: Privileged},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each", Default: true,
	prepare: spawns(program{name: "mount", args: []string{"-o", "bind", "/mnt", "/mnt"}}),
}
