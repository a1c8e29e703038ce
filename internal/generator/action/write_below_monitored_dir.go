package action

import "golang.org/x/sys/unix"

var writeBelowMonitoredDir = Action{
	Name:    "syscall.WriteBelowMonitoredDir",
	Summary: "open a file in /lib for writing",
	Rule:    "Write below monitored dir", RuleSet: Sandbox,
	Tags:    []string{"filesystem", "mitre_persistence", "T1543"},
	Touches: []string{"/lib"},
	Needs:   Needs{Place: Anywhere, Root: true},
	Cost:    Fast, Bench: BenchYes,
	prepare: func(p *prep) (func() error, error) {
		name := p.named("/lib", "")
		if err := p.willCreate(name); err != nil {
			return nil, err
		}
		path := c(name)
		return func() error { return openClose(path, unix.O_WRONLY|unix.O_CREAT, 0o644) }, nil
	},
}
