package action

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/generator/child"
)

var ptraceAttachedToProcess = Action{
	Name:    "syscall.PtraceAttachedToProcess",
	Summary: "attach to a child of our own by ptrace and detach",
	Rule:    "PTRACE attached to process", RuleSet: Stable,
	Tags:   []string{"process", "mitre_privilege_escalation", "T1055.008"},
	Spawns: []string{"peregrine-sleep"},
	Needs:  Needs{Place: Anywhere},
	Cost:   Fast, Bench: BenchYes, Default: true,
	prepare: func(p *prep) (func() error, error) {
		hold, release, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		p.undo(release.Close)
		pid, err := p.companion(program{name: "peregrine-sleep", task: child.Wait()}, hold, nil)
		if err := errors.Join(err, hold.Close()); err != nil {
			return nil, err
		}
		return func() error { return attachDetach(pid) }, nil
	},
}

// attachDetach needs one thread for all three calls, which workers are.
func attachDetach(pid int) error {
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_ATTACH, uintptr(pid), 0, 0, 0, 0); errno != 0 {
		return errno
	}
	// __WALL, since the tracee is a child already and may stop for other reasons.
	_, _, waited := unix.Syscall6(unix.SYS_WAIT4, uintptr(pid), 0, unix.WALL, 0, 0, 0)
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_DETACH, uintptr(pid), 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return check(waited)
}
