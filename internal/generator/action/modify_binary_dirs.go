package action

// Never a program of the system: a killed generator must not lose it.
var modifyBinaryDirs = Action{
	Name:    "syscall.ModifyBinaryDirs",
	Summary: "rename a file of our own in /bin",
	Rule:    "Modify binary dirs", RuleSet: Sandbox,
	Tags:    []string{"filesystem", "mitre_defense_evasion", "T1222.002"},
	Touches: []string{"/bin"},
	Needs:   Needs{Place: Anywhere, Root: true},
	Cost:    Fast, Bench: BenchYes,
	prepare: func(p *prep) (func() error, error) {
		first, second := p.named("/bin", "-a"), p.named("/bin", "-b")
		if err := p.willCreate(second); err != nil {
			return nil, err
		}
		if err := p.mknod(first, 0o644); err != nil {
			return nil, err
		}
		from, to := c(first), c(second)
		return func() error {
			err := renameat(from, to)
			from, to = to, from
			return err
		}, nil
	},
}
