package action

import "github.com/peregrine-sec/peregrine/internal/generator/child"

var systemProcsNetworkActivity = Action{
	Name:    "syscall.SystemProcsNetworkActivity",
	Summary: "a process called sha1sum connects a UDP socket",
	Rule:    "System procs network activity", RuleSet: Incubating,
	Tags:   []string{"network", "process", "mitre_execution", "T1059"},
	Spawns: []string{"sha1sum"},
	Needs:  Needs{Place: Anywhere, Network: true},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "sha1sum", task: child.Connect("udp", discard)}),
}
