package action

var helperOutboundConnection = Action{
	Name:    "helper.OutboundConnection",
	Summary: "connect a UDP socket to port 53 of an address that is not private",
	RuleSet: NoRule,
	Needs:   Needs{Place: Anywhere, Network: true},
	Cost:    Fast, Bench: BenchNo, BenchWhy: "fires no rule", Default: true,
	prepare: udpConnects(nameService),
}
