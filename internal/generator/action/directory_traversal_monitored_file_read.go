package action

import "golang.org/x/sys/unix"

// The rule exempts children of shells; the generator's workers are children
// of the generator.
var directoryTraversalMonitoredFileRead = Action{
	Name:    "syscall.DirectoryTraversalMonitoredFileRead",
	Summary: "open /etc/shadow by a path with ../ in it and close it",
	Rule:    "Directory traversal monitored file read", RuleSet: Stable,
	Tags:  []string{"filesystem", "mitre_credential_access", "T1555"},
	Needs: Needs{Place: Anywhere, Root: true},
	Cost:  Fast, Bench: BenchYes, Default: true,
	prepare: func(*prep) (func() error, error) {
		path := c("/etc/../etc/../etc/shadow")
		return func() error { return openClose(path, unix.O_RDONLY, 0) }, nil
	},
}
