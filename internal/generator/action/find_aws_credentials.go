package action

var findAwsCredentials = Action{
	Name:    "syscall.FindAwsCredentials",
	Summary: "start a process called find that looks for .aws/credentials",
	Rule:    "Find AWS Credentials", RuleSet: Stable,
	Tags:   []string{"process", "aws", "mitre_credential_access", "T1552"},
	Spawns: []string{"find"},
	Needs:  Needs{Place: Anywhere},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each", Default: true,
	prepare: spawns(program{name: "find", args: []string{"/tmp", "-maxdepth", "1", "-iname", ".aws/credentials"}}),
}
