package action

var helperDoNothing = Action{
	Name:    "helper.DoNothing",
	Summary: "nothing",
	RuleSet: NoRule,
	Needs:   Needs{Place: Anywhere},
	Cost:    Fast, Bench: BenchNo, BenchWhy: "fires no rule", Default: true,
	prepare: func(*prep) (func() error, error) {
		return func() error { return nil }, nil
	},
}
