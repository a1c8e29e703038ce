package action

import "golang.org/x/sys/unix"

var noiseMmap = Action{
	Name:    "noise.Mmap",
	Summary: "map a page and unmap it",
	RuleSet: NoRule,
	Needs:   Needs{Place: Anywhere},
	Cost:    Fast, Bench: BenchYes, Default: true, Syscalls: 2,
	prepare: func(*prep) (func() error, error) {
		return func() error {
			at, _, errno := unix.RawSyscall6(unix.SYS_MMAP, 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, ^uintptr(0), 0)
			if errno != 0 {
				return errno
			}
			_, _, errno = unix.RawSyscall(unix.SYS_MUNMAP, at, 4096, 0)
			return check(errno)
		}, nil
	},
}
