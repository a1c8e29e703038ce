package action

import "golang.org/x/sys/unix"

var writeBelowRoot = Action{
	Name:    "syscall.WriteBelowRoot",
	Summary: "open a file in /root for writing",
	Rule:    "Write below root", RuleSet: Sandbox,
	Tags:    []string{"filesystem", "mitre_persistence", "TA0003"},
	Touches: []string{"/root"},
	Needs:   Needs{Place: Anywhere, Root: true},
	Cost:    Fast, Bench: BenchYes,
	prepare: func(p *prep) (func() error, error) {
		name := p.named("/root", "")
		if err := p.willCreate(name); err != nil {
			return nil, err
		}
		path := c(name)
		return func() error { return openClose(path, unix.O_WRONLY|unix.O_CREAT, 0o644) }, nil
	},
}
