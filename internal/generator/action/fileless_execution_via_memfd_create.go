package action

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

var filelessExecutionViaMemfdCreate = Action{
	Name:    "syscall.FilelessExecutionViaMemfdCreate",
	Summary: "start a program that is in memory only",
	Rule:    "Fileless execution via memfd_create", RuleSet: Stable,
	Tags:   []string{"process", "mitre_defense_evasion", "T1620"},
	Spawns: []string{"(number)"},
	Needs:  Needs{Place: Anywhere},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each", Default: true,
	prepare: func(p *prep) (func() error, error) {
		fd, err := unix.MemfdCreate("peregrine", unix.MFD_CLOEXEC)
		if err != nil {
			return nil, err
		}
		memory := os.NewFile(uintptr(fd), "memfd:peregrine")
		p.undo(memory.Close)
		path := "/proc/self/fd/" + strconv.Itoa(fd)
		if err := CopyProgram(p.Exe, path, 0); err != nil {
			return nil, err
		}
		s, err := p.program(program{name: "memfd", path: path})
		if err != nil {
			return nil, err
		}
		return s.run, nil
	},
}
