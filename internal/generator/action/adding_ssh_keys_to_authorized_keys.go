package action

import "golang.org/x/sys/unix"

var addingSshKeysToAuthorizedKeys = Action{
	Name:    "syscall.AddingSshKeysToAuthorizedKeys",
	Summary: "open an authorized_keys below /home for writing",
	Rule:    "Adding ssh keys to authorized_keys", RuleSet: Incubating,
	Tags:    []string{"filesystem", "mitre_persistence", "T1098.004"},
	Touches: []string{"/home"},
	Needs:   Needs{Place: Anywhere, Root: true},
	Cost:    Fast, Bench: BenchYes,
	prepare: func(p *prep) (func() error, error) {
		dir := p.named("/home", "")
		if err := p.dir(dir + "/.ssh"); err != nil {
			return nil, err
		}
		name := dir + "/.ssh/authorized_keys"
		if err := p.willCreate(name); err != nil {
			return nil, err
		}
		path := c(name)
		return func() error { return openClose(path, unix.O_WRONLY|unix.O_CREAT, 0o600) }, nil
	},
}
