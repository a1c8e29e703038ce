package action

import "golang.org/x/sys/unix"

var noiseConnectLoopback = Action{
	Name:    "noise.ConnectLoopback",
	Summary: "connect to a TCP port on loopback, accept and close",
	RuleSet: NoRule,
	Needs:   Needs{Place: Anywhere},
	Cost:    Fast, Bench: BenchYes, Default: true, Syscalls: 6,
	prepare: func(p *prep) (func() error, error) {
		server, err := p.listen(loopback)
		if err != nil {
			return nil, err
		}
		client, err := p.client(server)
		if err != nil {
			return nil, err
		}
		return func() error {
			if err := client.connect(); err != nil {
				return err
			}
			fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(server), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
			if errno != 0 {
				return errno
			}
			return closeFD(int(fd))
		}, nil
	},
}
