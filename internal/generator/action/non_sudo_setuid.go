package action

import "github.com/peregrine-sec/peregrine/internal/generator/child"

var nonSudoSetuid = Action{
	Name:    "syscall.NonSudoSetuid",
	Summary: "a process of the user nobody tries setuid(0)",
	Rule:    "Non sudo setuid", RuleSet: Incubating,
	Tags:   []string{"users", "mitre_privilege_escalation", "T1548.001"},
	Spawns: []string{"peregrine-user"},
	Needs:  Needs{Place: Anywhere, Root: true},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "peregrine-user", nobody: true, task: child.SetuidRoot()}),
}
