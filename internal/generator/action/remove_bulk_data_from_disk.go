package action

var removeBulkDataFromDisk = Action{
	Name:    "syscall.RemoveBulkDataFromDisk",
	Summary: "start a process called shred",
	Rule:    "Remove Bulk Data from Disk", RuleSet: Stable,
	Tags:   []string{"process", "filesystem", "mitre_impact", "T1485"},
	Spawns: []string{"shred"},
	Needs:  Needs{Place: Anywhere},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each", Default: true,
	prepare: spawns(program{name: "shred", args: []string{"-u", "none"}}),
}
