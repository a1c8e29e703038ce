package action

import "golang.org/x/sys/unix"

var packetSocketCreatedInContainer = Action{
	Name:    "syscall.PacketSocketCreatedInContainer",
	Summary: "make an AF_PACKET socket and close it",
	Rule:    "Packet socket created in container", RuleSet: Stable,
	Tags:  []string{"network", "mitre_credential_access", "T1557.002"},
	Needs: Needs{Place: Container, Root: true},
	Cost:  Fast, Bench: BenchYes, Default: true,
	prepare: func(*prep) (func() error, error) {
		return func() error {
			fd, err := socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
			if err != nil {
				return err
			}
			return closeFD(fd)
		}, nil
	},
}
