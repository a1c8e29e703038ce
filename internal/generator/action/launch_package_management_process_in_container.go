package action

var launchPackageManagementProcessInContainer = Action{
	Name:    "syscall.LaunchPackageManagementProcessInContainer",
	Summary: "start a process called apt-get",
	Rule:    "Launch Package Management Process in Container", RuleSet: Incubating,
	Tags:   []string{"process", "software_mgmt", "mitre_persistence", "T1505"},
	Spawns: []string{"apt-get"},
	Needs:  Needs{Place: Container},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "apt-get", args: []string{"--version"}}),
}
