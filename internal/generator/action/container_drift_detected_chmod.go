package action

var containerDriftDetectedChmod = Action{
	Name:    "syscall.ContainerDriftDetectedChmod",
	Summary: "make a file executable",
	Rule:    "Container Drift Detected (chmod)", RuleSet: Sandbox, RuleOff: true,
	Tags:  []string{"filesystem", "mitre_execution", "T1059"},
	Needs: Needs{Place: Container},
	Cost:  Fast, Bench: BenchYes,
	prepare: onFile("drift", func(path cpath) error { return chmod(path, 0o755) }),
}
