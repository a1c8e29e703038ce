package action

var userMgmtBinaries = Action{
	Name:    "syscall.UserMgmtBinaries",
	Summary: "start a process called vipw",
	Rule:    "User mgmt binaries", RuleSet: Incubating,
	Tags:   []string{"users", "software_mgmt", "mitre_persistence", "T1098"},
	Spawns: []string{"vipw"},
	Needs:  Needs{Place: Host},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "vipw"}),
}
