package action

import "golang.org/x/sys/unix"

var readSensitiveFileUntrusted = Action{
	Name:    "syscall.ReadSensitiveFileUntrusted",
	Summary: "open /etc/shadow for reading and close it",
	Rule:    "Read sensitive file untrusted", RuleSet: Stable,
	Tags:  []string{"filesystem", "mitre_credential_access", "T1555"},
	Needs: Needs{Place: Anywhere, Root: true},
	Cost:  Fast, Bench: BenchYes, Default: true,
	prepare: func(*prep) (func() error, error) {
		path := c("/etc/shadow")
		return func() error { return openClose(path, unix.O_RDONLY, 0) }, nil
	},
}
