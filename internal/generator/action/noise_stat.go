package action

import "golang.org/x/sys/unix"

var noiseStat = Action{
	Name:    "noise.Stat",
	Summary: "look at a harmless file, eight times",
	RuleSet: NoRule,
	Needs:   Needs{Place: Anywhere},
	Cost:    Fast, Bench: BenchYes, Default: true, Syscalls: 8,
	prepare: func(p *prep) (func() error, error) {
		path, err := harmlessFile(p)
		if err != nil {
			return nil, err
		}
		stat := new(unix.Stat_t)
		return func() error {
			for range 8 {
				if err := fstatat(path, stat); err != nil {
					return err
				}
			}
			return nil
		}, nil
	},
}
