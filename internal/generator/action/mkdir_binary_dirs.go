package action

import (
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/generator/artifact"
)

// The rule matches the attempt. Removing the directory each time would fire the
// rule of ModifyBinaryDirs as well.
var mkdirBinaryDirs = Action{
	Name:    "syscall.MkdirBinaryDirs",
	Summary: "mkdir in /bin, of a directory that is there from the second time on",
	Rule:    "Mkdir binary dirs", RuleSet: Sandbox,
	Tags:    []string{"filesystem", "mitre_persistence", "T1222.002"},
	Touches: []string{"/bin"},
	Needs:   Needs{Place: Anywhere, Root: true},
	Cost:    Fast, Bench: BenchYes,
	prepare: func(p *prep) (func() error, error) {
		name := p.named("/bin", "")
		if _, err := p.announce(artifact.Artifact{Path: name, Kind: artifact.Directory}); err != nil {
			return nil, err
		}
		path := c(name)
		return func() error {
			if err := mkdirat(path, 0o755); err != nil && err != unix.EEXIST {
				return err
			}
			return nil
		}, nil
	},
}
