package action

import "golang.org/x/sys/unix"

// Closing waits for an RCU grace period (packet_release, net/packet/af_packet.c).
var packetSocketCreatedInContainer = Action{
	Name:    "syscall.PacketSocketCreatedInContainer",
	Summary: "make an AF_PACKET socket and close it",
	Rule:    "Packet socket created in container", RuleSet: Stable,
	Tags:  []string{"network", "mitre_credential_access", "T1557.002"},
	Needs: Needs{Place: Container, Root: true},
	Cost:  Slow, Bench: BenchSlow, BenchWhy: "closing such a socket waits for the kernel: some 80 per second and thread", Default: true,
	prepare: func(*prep) (func() error, error) {
		return func() error {
			fd, err := socket(unix.AF_PACKET, unix.SOCK_RAW)
			if err != nil {
				return err
			}
			return closeFD(fd)
		}, nil
	},
}
