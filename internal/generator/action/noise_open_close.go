package action

import "golang.org/x/sys/unix"

var noiseOpenClose = Action{
	Name:    "noise.OpenClose",
	Summary: "open a harmless file for reading and close it",
	RuleSet: NoRule,
	Needs:   Needs{Place: Anywhere},
	Cost:    Fast, Bench: BenchYes, Default: true, Syscalls: 2,
	prepare: func(p *prep) (func() error, error) {
		path, err := harmlessFile(p)
		if err != nil {
			return nil, err
		}
		return func() error { return openClose(path, unix.O_RDONLY, 0) }, nil
	},
}

// harmlessFile makes a small file whose path no rule matches.
func harmlessFile(p *prep) (cpath, error) {
	name, err := p.inScratch("data")
	if err != nil {
		return nil, err
	}
	return c(name), p.file(name, "harmless\n", 0o644)
}
