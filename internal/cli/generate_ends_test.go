package cli

import (
	"bufio"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// A run of the generator ends in order, with its changes undone, however it is
// ended: by hand, when its terminal is closed, when its reader goes.
func TestGenerateEnds(t *testing.T) {
	needs.Root(t)
	// A run started by nohup leaves SIGHUP ignored; children of a process that
	// catches it start with the default.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE} {
		state := filepath.Join(t.TempDir(), "state")
		run := exec.Command(os.Args[0], "generate", "run", "ReadSensitiveFileUntrusted", "--loop", "--sleep", "10ms", "--state-dir", state)
		run.Env = append(os.Environ(), "PEREGRINE_TEST_MAIN=1")
		stderr, err := run.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stderr)
		for lines.Scan() && !strings.Contains(lines.Text(), "action executed") {
		}
		if sig == syscall.SIGPIPE {
			stderr.Close()                          // writing gives it the signal
			_ = run.Process.Signal(syscall.SIGTERM) // it goes on without a reader
		} else if err := run.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		finished := false
		for lines.Scan() {
			finished = finished || strings.Contains(lines.Text(), "run finished")
		}
		err = run.Wait()
		if status := run.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() || err != nil && status.ExitStatus() != ExitInterrupted || !finished && sig != syscall.SIGPIPE {
			t.Errorf("%v: %v, finished %v", sig, err, finished)
		}
		if left, err := os.ReadDir(state); len(left) > 0 {
			t.Errorf("%v: journals are left: %v, %v", sig, left, err)
		}
	}
}
