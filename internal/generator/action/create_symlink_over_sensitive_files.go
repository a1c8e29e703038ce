package action

import (
	"github.com/peregrine-sec/peregrine/internal/generator/artifact"
)

var createSymlinkOverSensitiveFiles = Action{
	Name:    "syscall.CreateSymlinkOverSensitiveFiles",
	Summary: "make a symbolic link to /etc and remove it",
	Rule:    "Create Symlink Over Sensitive Files", RuleSet: Stable,
	Tags:  []string{"filesystem", "mitre_credential_access", "T1555"},
	Needs: Needs{Place: Anywhere},
	Cost:  Fast, Bench: BenchYes, Default: true,
	prepare: func(p *prep) (func() error, error) {
		name, err := p.inScratch("link")
		if err != nil {
			return nil, err
		}
		if _, err := p.announce(artifact.Artifact{Path: name, Kind: artifact.Link, Content: "/etc"}); err != nil {
			return nil, err
		}
		target, path := c("/etc"), c(name)
		return func() error {
			if err := symlinkat(target, path); err != nil {
				return err
			}
			return unlinkat(path, 0)
		}, nil
	},
}
