package action

import (
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/generator/artifact"
)

var noiseWriteFile = Action{
	Name:    "noise.WriteFile",
	Summary: "open a harmless file, write a page to it and close it",
	RuleSet: NoRule,
	Needs:   Needs{Place: Anywhere},
	Cost:    Fast, Bench: BenchYes, Default: true, Syscalls: 3,
	prepare: func(p *prep) (func() error, error) {
		name, err := p.inScratch("data")
		if err != nil {
			return nil, err
		}
		buffer := make([]byte, 4096)
		if err := p.mknodFor(artifact.Artifact{Path: name, Content: string(buffer)}, 0o644); err != nil {
			return nil, err
		}
		path := c(name)
		return func() error { return throughFile(path, unix.O_WRONLY, write, buffer) }, nil
	},
}
