package action

// mknod rather than open makes the file: the rule must see only its end.
var deleteOrRenameShellHistory = Action{
	Name:    "syscall.DeleteOrRenameShellHistory",
	Summary: "make an ash_history in a scratch directory and unlink it",
	Rule:    "Delete or rename shell history", RuleSet: Incubating,
	Tags:  []string{"process", "filesystem", "mitre_defense_evasion", "T1070"},
	Needs: Needs{Place: Anywhere},
	Cost:  Fast, Bench: BenchYes,
	prepare: creating("ash_history", func(path cpath) error {
		if err := mknodat(path, 0o600); err != nil {
			return err
		}
		return unlinkat(path, 0)
	}),
}
