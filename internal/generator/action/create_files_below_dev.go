package action

import "golang.org/x/sys/unix"

var createFilesBelowDev = Action{
	Name:    "syscall.CreateFilesBelowDev",
	Summary: "open a file directly below /dev with O_CREAT",
	Rule:    "Create files below dev", RuleSet: Incubating,
	Tags:    []string{"filesystem", "mitre_persistence", "T1543"},
	Touches: []string{"/dev"},
	Needs:   Needs{Place: Anywhere, Root: true},
	Cost:    Fast, Bench: BenchYes,
	prepare: func(p *prep) (func() error, error) {
		name := p.named("/dev", "")
		if err := p.willCreate(name); err != nil {
			return nil, err
		}
		path := c(name)
		return func() error { return openClose(path, unix.O_WRONLY|unix.O_CREAT, 0o644) }, nil
	},
}
