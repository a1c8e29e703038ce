package action

import (
	"github.com/peregrine-sec/peregrine/internal/generator/artifact"
)

// The link is made in /etc, since it cannot leave the file system.
var createHardlinkOverSensitiveFiles = Action{
	Name:    "syscall.CreateHardlinkOverSensitiveFiles",
	Summary: "link /etc/shadow to another name and unlink that",
	Rule:    "Create Hardlink Over Sensitive Files", RuleSet: Stable,
	Tags:    []string{"filesystem", "mitre_credential_access", "T1555"},
	Touches: []string{"/etc"},
	Needs:   Needs{Place: Anywhere, Root: true},
	Cost:    Fast, Bench: BenchYes, Default: true,
	prepare: func(p *prep) (func() error, error) {
		name := p.named("/etc", "")
		if _, err := p.announce(artifact.Artifact{Path: name, Kind: artifact.Name, Content: "/etc/shadow"}); err != nil {
			return nil, err
		}
		from, to := c("/etc/shadow"), c(name)
		return func() error {
			if err := linkat(from, to); err != nil {
				return err
			}
			return unlinkat(to, 0)
		}, nil
	},
}
