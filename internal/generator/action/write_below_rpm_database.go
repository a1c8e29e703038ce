package action

var writeBelowRpmDatabase = Action{
	Name:    "syscall.WriteBelowRpmDatabase",
	Summary: "open a file in /var/lib/rpm for writing",
	Rule:    "Write below rpm database", RuleSet: Sandbox,
	Tags:    []string{"filesystem", "software_mgmt", "mitre_persistence", "T1072"},
	Touches: []string{"/var/lib"},
	Needs:   Needs{Place: Anywhere, Root: true},
	Cost:    Fast, Bench: BenchYes,
	prepare: func(p *prep) (func() error, error) {
		if err := p.dir("/var/lib/rpm"); err != nil {
			return nil, err
		}
		return creatingIn("/var/lib/rpm", "")(p)
	},
}
