package action

import "github.com/peregrine-sec/peregrine/internal/generator/child"

var dbProgramSpawnedProcess = Action{
	Name:    "syscall.DbProgramSpawnedProcess",
	Summary: "a process called mysqld starts one called ls",
	Rule:    "DB program spawned process", RuleSet: Incubating,
	Tags:   []string{"process", "database", "mitre_execution", "T1190"},
	Spawns: []string{"mysqld", "ls"},
	Needs:  Needs{Place: Anywhere},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "two processes for each",
	prepare: func(p *prep) (func() error, error) {
		ls, err := p.program(program{name: "ls"})
		if err != nil {
			return nil, err
		}
		mysqld, err := p.program(program{name: "mysqld", task: child.Run(ls.path, "ls")})
		if err != nil {
			return nil, err
		}
		return mysqld.run, nil
	},
}
