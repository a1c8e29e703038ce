package action

var potentialLocalPrivilegeEscalationViaEnvironmentVariablesMisuse = Action{
	Name:    "syscall.PotentialLocalPrivilegeEscalationViaEnvironmentVariablesMisuse",
	Summary: "start a process with GLIBC_TUNABLES set",
	Rule:    "Potential Local Privilege Escalation via Environment Variables Misuse", RuleSet: Incubating,
	Tags:   []string{"users", "mitre_privilege_escalation", "TA0004"},
	Spawns: []string{"id"},
	Needs:  Needs{Place: Anywhere},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "id", env: []string{"GLIBC_TUNABLES=glibc.malloc.mxfast=0"}}),
}
