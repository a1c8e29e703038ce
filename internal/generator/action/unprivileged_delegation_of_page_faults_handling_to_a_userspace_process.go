package action

import "github.com/peregrine-sec/peregrine/internal/generator/child"

var unprivilegedDelegationOfPageFaultsHandlingToAUserspaceProcess = Action{
	Name:    "syscall.UnprivilegedDelegationOfPageFaultsHandlingToAUserspaceProcess",
	Summary: "the user nobody makes a userfaultfd",
	Rule:    "Unprivileged Delegation of Page Faults Handling to a Userspace Process", RuleSet: Sandbox,
	Tags:   []string{"process", "mitre_defense_evasion", "TA0005"},
	Spawns: []string{"peregrine-user"},
	Needs:  Needs{Place: Anywhere, Root: true},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "peregrine-user", nobody: true, task: child.Userfaultfd()}),
}
