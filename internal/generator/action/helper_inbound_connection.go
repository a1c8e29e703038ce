package action

import "github.com/peregrine-sec/peregrine/internal/generator/child"

var helperInboundConnection = Action{
	Name:    "helper.InboundConnection",
	Summary: "listen on a TCP port of an address that is not loopback",
	RuleSet: NoRule,
	Spawns:  []string{"peregrine-helper"},
	Needs:   Needs{Place: Anywhere, Network: true, Inbound: true},
	Cost:    Process, Bench: BenchNo, BenchWhy: "fires no rule", Default: true,
	prepare: spawns(program{name: "peregrine-helper", task: child.Listen(outside)}),
}
