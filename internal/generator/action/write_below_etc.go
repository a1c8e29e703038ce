package action

import "golang.org/x/sys/unix"

var writeBelowEtc = Action{
	Name:    "syscall.WriteBelowEtc",
	Summary: "open a file in /etc for writing",
	Rule:    "Write below etc", RuleSet: Sandbox,
	Tags:    []string{"filesystem", "mitre_persistence", "T1098"},
	Touches: []string{"/etc"},
	Needs:   Needs{Place: Anywhere, Root: true},
	Cost:    Fast, Bench: BenchYes,
	prepare: func(p *prep) (func() error, error) {
		name := p.named("/etc", "-file")
		if err := p.willCreate(name); err != nil {
			return nil, err
		}
		path := c(name)
		return func() error { return openClose(path, unix.O_WRONLY|unix.O_CREAT, 0o644) }, nil
	},
}
