package action

import (
	"runtime"
	"syscall"
	"testing"
)

// A child that is traced by its parent stops at each signal, also at those that
// change nothing, and goes on.
func TestReapTraced(t *testing.T) {
	runtime.LockOSThread() // as workers are: ptrace wants it
	defer runtime.UnlockOSThread()
	for script, want := range map[string]error{
		"exit 0": nil, "kill -URG $$; exit 3": syscall.Errno(3), "kill -KILL $$": errKilled, "kill -TERM $$": errKilled,
	} {
		attr := syscall.ProcAttr{Sys: &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}}
		pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", script}, &attr)
		if err != nil {
			t.Fatal(err)
		}
		if err := reap(pid); err != want {
			t.Errorf("%s: %v, want %v", script, err, want)
		}
	}
}
