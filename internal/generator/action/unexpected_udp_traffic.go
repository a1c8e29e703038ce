package action

var unexpectedUDPTraffic = Action{
	Name:    "syscall.UnexpectedUDPTraffic",
	Summary: "connect a UDP socket to an unusual port",
	Rule:    "Unexpected UDP Traffic", RuleSet: Incubating,
	Tags:  []string{"network", "mitre_exfiltration", "TA0011"},
	Needs: Needs{Place: Anywhere, Network: true},
	Cost:  Fast, Bench: BenchYes,
	prepare: udpConnects(unusualPort),
}
