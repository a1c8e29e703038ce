package action

// Connecting a UDP socket sends nothing; the address is on the loopback device
// of the sandbox.
var contactEC2InstanceMetadataServiceFromContainer = Action{
	Name:    "syscall.ContactEC2InstanceMetadataServiceFromContainer",
	Summary: "connect a UDP socket to 169.254.169.254",
	Rule:    "Contact EC2 Instance Metadata Service From Container", RuleSet: Incubating,
	Tags:  []string{"network", "aws", "mitre_credential_access", "T1552.005"},
	Needs: Needs{Place: Container, Network: true},
	Cost:  Fast, Bench: BenchYes,
	prepare: udpConnects(metadataService),
}
