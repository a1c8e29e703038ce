package action

import "golang.org/x/sys/unix"

// The file stays until the end: unlinking it each time would fire the rule of
// ModifyBinaryDirs as well.
var writeBelowBinaryDir = Action{
	Name:    "syscall.WriteBelowBinaryDir",
	Summary: "open a file in /bin for writing",
	Rule:    "Write below binary dir", RuleSet: Sandbox,
	Tags:    []string{"filesystem", "mitre_persistence", "T1543"},
	Touches: []string{"/bin"},
	Needs:   Needs{Place: Anywhere, Root: true},
	Cost:    Fast, Bench: BenchYes,
	prepare: func(p *prep) (func() error, error) {
		name := p.named("/bin", "-file")
		if err := p.willCreate(name); err != nil {
			return nil, err
		}
		path := c(name)
		return func() error { return openClose(path, unix.O_WRONLY|unix.O_CREAT, 0o644) }, nil
	},
}
