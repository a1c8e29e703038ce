package action

import "github.com/peregrine-sec/peregrine/internal/generator/child"

var ptraceAntiDebugAttempt = Action{
	Name:    "syscall.PtraceAntiDebugAttempt",
	Summary: "a process asks to be traced",
	Rule:    "PTRACE anti-debug attempt", RuleSet: Stable,
	Tags:   []string{"process", "mitre_defense_evasion", "T1622"},
	Spawns: []string{"peregrine-debug"},
	Needs:  Needs{Place: Anywhere},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each", Default: true,
	prepare: spawns(program{name: "peregrine-debug", task: child.TraceMe()}),
}
