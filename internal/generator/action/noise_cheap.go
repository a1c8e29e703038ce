package action

import "golang.org/x/sys/unix"

// Sensors ignore these, but pay for being asked.
var noiseCheap = Action{
	Name:    "noise.Cheap",
	Summary: "getppid, eight times: the cheapest syscall there is",
	RuleSet: NoRule,
	Needs:   Needs{Place: Anywhere},
	Cost:    Fast, Bench: BenchYes, Default: true, Syscalls: 8,
	prepare: func(*prep) (func() error, error) {
		return func() error {
			for range 8 {
				_, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
			}
			return nil
		}, nil
	},
}
