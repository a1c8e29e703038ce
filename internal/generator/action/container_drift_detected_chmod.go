package action

var containerDriftDetectedChmod = Action{
	Name:    "syscall.ContainerDriftDetectedChmod",
	Summary: "make a file executable",
	Rule:    "Container Drift Detected (chmod)", RuleSet: Sandbox, RuleOff: true,
	Tags:  []string{"filesystem", "mitre_execution", "T1059"},
	Needs: Needs{Place: Container},
	Cost:  Fast, Bench: BenchYes,
	prepare: func(p *prep) (func() error, error) {
		name, err := p.inScratch("drift")
		if err != nil {
			return nil, err
		}
		if err := p.mknod(name, 0o644); err != nil {
			return nil, err
		}
		path := c(name)
		return func() error { return chmod(path, 0o755) }, nil
	},
}
