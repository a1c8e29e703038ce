package action

import "golang.org/x/sys/unix"

var modifyShellConfigurationFile = Action{
	Name:    "syscall.ModifyShellConfigurationFile",
	Summary: "open a .bashrc in a scratch directory for writing",
	Rule:    "Modify Shell Configuration File", RuleSet: Incubating,
	Tags:  []string{"filesystem", "mitre_persistence", "T1546.004"},
	Needs: Needs{Place: Anywhere},
	Cost:  Fast, Bench: BenchYes,
	prepare: func(p *prep) (func() error, error) {
		name, err := p.inScratch(".bashrc")
		if err != nil {
			return nil, err
		}
		if err := p.willCreate(name); err != nil {
			return nil, err
		}
		path := c(name)
		return func() error { return openClose(path, unix.O_WRONLY|unix.O_CREAT, 0o644) }, nil
	},
}
