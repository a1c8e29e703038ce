package action

import "golang.org/x/sys/unix"

var readSshInformation = Action{
	Name:    "syscall.ReadSshInformation",
	Summary: "open a known_hosts below /home for reading",
	Rule:    "Read ssh information", RuleSet: Incubating,
	Tags:    []string{"filesystem", "mitre_collection", "T1005"},
	Touches: []string{"/home"},
	Needs:   Needs{Place: Anywhere, Root: true},
	Cost:    Fast, Bench: BenchYes,
	prepare: func(p *prep) (func() error, error) {
		dir := p.named("/home", "-read")
		if err := p.dir(dir + "/.ssh"); err != nil {
			return nil, err
		}
		if err := p.mknod(dir+"/.ssh/known_hosts", 0o600); err != nil {
			return nil, err
		}
		path := c(dir + "/.ssh/known_hosts")
		return func() error { return openClose(path, unix.O_RDONLY, 0) }, nil
	},
}
