package action

var executionFromDevShm = Action{
	Name:    "syscall.ExecutionFromDevShm",
	Summary: "start a program in /dev/shm",
	Rule:    "Execution from /dev/shm", RuleSet: Stable,
	Tags:    []string{"mitre_execution", "T1059.004"},
	Touches: []string{"/dev/shm"},
	Spawns:  []string{"peregrine-*"},
	Needs:   Needs{Place: Anywhere},
	Cost:    Process, Bench: BenchSlow, BenchWhy: "a process for each", Default: true,
	prepare: func(p *prep) (func() error, error) {
		path := p.named("/dev/shm", "")
		s, err := p.program(program{name: p.Prefix, path: path, argv: path})
		if err != nil {
			return nil, err
		}
		return s.run, nil
	},
}
