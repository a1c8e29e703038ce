package action

var debugfsLaunchedInPrivilegedContainer = Action{
	Name:    "syscall.DebugfsLaunchedInPrivilegedContainer",
	Summary: "start a process called debugfs",
	Rule:    "Debugfs Launched in Privileged Container", RuleSet: Stable,
	Tags:   []string{"cis", "process", "mitre_privilege_escalation", "T1611"},
	Spawns: []string{"debugfs"},
	Needs:  Needs{Place: Privileged},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each", Default: true,
	prepare: spawns(program{name: "debugfs", args: []string{"-V"}}),
}
