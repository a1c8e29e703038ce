package action

var helperNetworkActivity = Action{
	Name:    "helper.NetworkActivity",
	Summary: "connect a UDP socket to a private address",
	RuleSet: NoRule,
	Needs:   Needs{Place: Anywhere, Network: true},
	Cost:    Fast, Bench: BenchNo, BenchWhy: "fires no rule", Default: true,
	prepare: udpConnects(discard),
}
