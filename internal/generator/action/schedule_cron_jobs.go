package action

var scheduleCronJobs = Action{
	Name:    "syscall.ScheduleCronJobs",
	Summary: "start a process called crontab",
	Rule:    "Schedule Cron Jobs", RuleSet: Incubating,
	Tags:   []string{"filesystem", "mitre_execution", "T1053.003"},
	Spawns: []string{"crontab"},
	Needs:  Needs{Place: Anywhere},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "crontab", args: []string{"-l"}}),
}
