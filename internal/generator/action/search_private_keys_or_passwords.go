package action

var searchPrivateKeysOrPasswords = Action{
	Name:    "syscall.SearchPrivateKeysOrPasswords",
	Summary: "start a process called find that looks for id_rsa",
	Rule:    "Search Private Keys or Passwords", RuleSet: Stable,
	Tags:   []string{"process", "filesystem", "mitre_credential_access", "T1552.001"},
	Spawns: []string{"find"},
	Needs:  Needs{Place: Anywhere},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each", Default: true,
	prepare: spawns(program{name: "find", args: []string{"/tmp", "-maxdepth", "1", "-iname", "id_rsa"}}),
}
