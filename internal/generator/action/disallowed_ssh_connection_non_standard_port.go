package action

import "github.com/peregrine-sec/peregrine/internal/generator/child"

var disallowedSSHConnectionNonStandardPort = Action{
	Name:    "syscall.DisallowedSSHConnectionNonStandardPort",
	Summary: "a process called ssh connects to port 443",
	Rule:    "Disallowed SSH Connection Non Standard Port", RuleSet: Stable,
	Tags:   []string{"network", "process", "mitre_execution", "T1059"},
	Spawns: []string{"ssh"},
	Needs:  Needs{Place: Anywhere, Network: true},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each", Default: true,
	prepare: func(p *prep) (func() error, error) {
		var server int
		if p.PrivateNet {
			var err error
			if server, err = p.listen(sshOn443); err != nil {
				return nil, err
			}
		}
		ssh, err := p.program(program{name: "ssh", args: []string{"user@" + sshOn443.Addr().String(), "-p", "443"}, task: child.Connect("tcp", sshOn443)})
		if err != nil {
			return nil, err
		}
		return func() error {
			if err := ssh.run(); err != nil || server == 0 {
				return err
			}
			return drain(server)
		}, nil
	},
}
