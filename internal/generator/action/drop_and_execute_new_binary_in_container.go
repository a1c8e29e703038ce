package action

import (
	"github.com/peregrine-sec/peregrine/internal/generator/artifact"
)

// The file is dropped once and executed many times: the sensor must see that it
// is in the upper layer of the container's overlay. It is made by mknod and in
// /home, so that no other rule is fired by the preparation.
var dropAndExecuteNewBinaryInContainer = Action{
	Name:    "syscall.DropAndExecuteNewBinaryInContainer",
	Summary: "start a program that was written into the container after its start",
	Rule:    "Drop and execute new binary in container", RuleSet: Stable,
	Tags:    []string{"process", "mitre_persistence", "TA0003"},
	Touches: []string{"/home"},
	Spawns:  []string{"peregrine-*-dropped"},
	Needs:   Needs{Place: Container, Root: true},
	Cost:    Process, Bench: BenchSlow, BenchWhy: "a process for each", Default: true,
	prepare: func(p *prep) (func() error, error) {
		path := p.named("/home", "-dropped")
		if err := p.mknodFor(artifact.Artifact{Path: path, CopyOf: p.Exe}, 0o755); err != nil {
			return nil, err
		}
		if err := CopyProgram(p.Exe, path, 0); err != nil {
			return nil, err
		}
		s, err := p.program(program{name: p.Prefix, path: path, argv: path})
		if err != nil {
			return nil, err
		}
		return s.run, nil
	},
}
