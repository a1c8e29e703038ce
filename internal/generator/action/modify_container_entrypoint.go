package action

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

var modifyContainerEntrypoint = Action{
	Name:    "syscall.ModifyContainerEntrypoint",
	Summary: "open a file of our own by its name in /proc/self/fd for writing",
	Rule:    "Modify Container Entrypoint", RuleSet: Sandbox, RuleOff: true,
	Tags:  []string{"filesystem", "mitre_initial_access", "T1611"},
	Needs: Needs{Place: Container},
	Cost:  Fast, Bench: BenchYes,
	prepare: func(p *prep) (func() error, error) {
		name, err := p.inScratch("entrypoint")
		if err != nil {
			return nil, err
		}
		if err := p.mknod(name, 0o644); err != nil {
			return nil, err
		}
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		p.undo(file.Close)
		path := c("/proc/self/fd/" + strconv.Itoa(int(file.Fd())))
		return func() error { return openClose(path, unix.O_WRONLY, 0) }, nil
	},
}
