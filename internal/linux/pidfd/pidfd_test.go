package pidfd

import (
	"os/exec"
	"syscall"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

func TestKill(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	start, err := procfs.Host.StartTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	if was, err := Kill(t.Context(), pid, start+1); was || err != nil {
		t.Errorf("another process with that pid: %v, %v", was, err)
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if was, err := Kill(t.Context(), pid, start); !was || err != nil {
		t.Errorf("a stopped process: %v, %v", was, err)
	}
	if was, err := Kill(t.Context(), pid, start); was || err != nil {
		t.Errorf("a zombie: %v, %v", was, err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("ended by %v", err)
	}
	if was, err := Kill(t.Context(), pid, start); was || err != nil {
		t.Errorf("no process: %v, %v", was, err)
	}
}
