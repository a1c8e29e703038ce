package action

import "github.com/peregrine-sec/peregrine/internal/generator/child"

var runShellUntrusted = Action{
	Name:    "syscall.RunShellUntrusted",
	Summary: "a process called httpd starts one called sh",
	Rule:    "Run shell untrusted", RuleSet: Stable,
	Tags:   []string{"process", "shell", "mitre_execution", "T1059.004"},
	Spawns: []string{"httpd", "sh"},
	Needs:  Needs{Place: Anywhere},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "two processes for each", Default: true,
	prepare: func(p *prep) (func() error, error) {
		sh, err := p.program(program{name: "sh"})
		if err != nil {
			return nil, err
		}
		httpd, err := p.program(program{name: "httpd", task: child.Run(sh.path, "sh", "-c", "ls > /dev/null")})
		if err != nil {
			return nil, err
		}
		return httpd.run, nil
	},
}
