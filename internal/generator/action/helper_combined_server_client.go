package action

import "github.com/peregrine-sec/peregrine/internal/generator/child"

var helperCombinedServerClient = Action{
	Name:    "helper.CombinedServerClient",
	Summary: "send a datagram to ourselves on loopback",
	RuleSet: NoRule,
	Spawns:  []string{"peregrine-helper"},
	Needs:   Needs{Place: Anywhere},
	Cost:    Process, Bench: BenchNo, BenchWhy: "fires no rule", Default: true,
	prepare: spawns(program{name: "peregrine-helper", task: child.Receive([]byte("hello"))}),
}
