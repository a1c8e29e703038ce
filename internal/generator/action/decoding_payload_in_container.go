package action

var decodingPayloadInContainer = Action{
	Name:    "syscall.DecodingPayloadInContainer",
	Summary: "start a process called base64 with -d",
	Rule:    "Decoding Payload in Container", RuleSet: Sandbox,
	Tags:   []string{"process", "mitre_command_and_control", "TA0011"},
	Spawns: []string{"base64"},
	Needs:  Needs{Place: Container},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "base64", args: []string{"-d"}}),
}
