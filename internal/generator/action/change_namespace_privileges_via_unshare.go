package action

import "github.com/peregrine-sec/peregrine/internal/generator/child"

var changeNamespacePrivilegesViaUnshare = Action{
	Name:    "syscall.ChangeNamespacePrivilegesViaUnshare",
	Summary: "the user nobody calls unshare(2)",
	Rule:    "Change namespace privileges via unshare", RuleSet: Incubating,
	Tags:   []string{"mitre_privilege_escalation", "T1611"},
	Spawns: []string{"unshare"},
	Needs:  Needs{Place: Container, Root: true},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "unshare", nobody: true, task: child.Unshare()}),
}
