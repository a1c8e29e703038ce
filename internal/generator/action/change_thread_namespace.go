package action

import (
	"os"

	"golang.org/x/sys/unix"
)

var changeThreadNamespace = Action{
	Name:    "syscall.ChangeThreadNamespace",
	Summary: "setns to the namespace that the thread is in",
	Rule:    "Change thread namespace", RuleSet: Incubating,
	Tags:  []string{"process", "mitre_privilege_escalation", "T1611"},
	Needs: Needs{Place: Anywhere, Root: true},
	Cost:  Fast, Bench: BenchYes,
	prepare: func(p *prep) (func() error, error) {
		ns, err := os.Open("/proc/self/ns/uts")
		if err != nil {
			return nil, err
		}
		p.undo(ns.Close)
		fd := int(ns.Fd())
		return func() error {
			_, _, errno := unix.Syscall(unix.SYS_SETNS, uintptr(fd), unix.CLONE_NEWUTS, 0)
			return check(errno)
		}, nil
	},
}
