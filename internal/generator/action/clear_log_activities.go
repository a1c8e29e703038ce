package action

import "golang.org/x/sys/unix"

var clearLogActivities = Action{
	Name:    "syscall.ClearLogActivities",
	Summary: "truncate a file called syslog in a scratch directory",
	Rule:    "Clear Log Activities", RuleSet: Stable,
	Tags:  []string{"filesystem", "mitre_defense_evasion", "T1070"},
	Needs: Needs{Place: Anywhere},
	Cost:  Fast, Bench: BenchYes, Default: true,
	prepare: creating("syslog", func(path cpath) error { return openClose(path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, 0o644) }),
}
