package action

import "github.com/peregrine-sec/peregrine/internal/generator/child"

var interpretedProcsOutboundNetworkActivity = Action{
	Name:    "syscall.InterpretedProcsOutboundNetworkActivity",
	Summary: "a process called lua connects a UDP socket",
	Rule:    "Interpreted procs outbound network activity", RuleSet: Sandbox, RuleOff: true,
	Tags:   []string{"network", "mitre_exfiltration", "TA0011"},
	Spawns: []string{"lua"},
	Needs:  Needs{Place: Anywhere, Network: true},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "lua", task: child.Connect("udp", nameService)}),
}
