package action

import "github.com/peregrine-sec/peregrine/internal/generator/child"

var interpretedProcsInboundNetworkActivity = Action{
	Name:    "syscall.InterpretedProcsInboundNetworkActivity",
	Summary: "a process called lua listens on a TCP port",
	Rule:    "Interpreted procs inbound network activity", RuleSet: Sandbox, RuleOff: true,
	Tags:   []string{"network", "mitre_exfiltration", "TA0011"},
	Spawns: []string{"lua"},
	Needs:  Needs{Place: Anywhere, Network: true, Inbound: true},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "lua", task: child.Listen(outside)}),
}
