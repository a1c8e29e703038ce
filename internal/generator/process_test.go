package generator

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// killRun starts a run and kills it delay after it has started (or is ready),
// its worker processes first if they are to die too.
func killRun(t *testing.T, mode, state string, delay time.Duration, workersToo bool) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), killerVariable+"="+mode, killerVariable+"_STATE="+state)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "starting\n" {
		t.Fatalf("%q, %v", line, err)
	}
	time.Sleep(delay) // to be in another phase each time, which one does not matter
	workers := workersOf(t, cmd.Process.Pid)
	kill(t, cmd.Process.Pid)
	if workersToo {
		for _, pid := range workers {
			kill(t, pid)
		}
	}
	_ = cmd.Wait()
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		t.Error(err)
	}
}

// workersOf are the children of a process.
func workersOf(t *testing.T, parent int) (pids []int) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		content, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		for _, word := range strings.Fields(string(content)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// processesOf are the processes that the killed run with this state directory
// left: they have it in their environment.
func processesOf(t *testing.T, state string) (left []string) {
	t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range list {
		content, err := os.ReadFile(path)
		if err == nil && bytes.Contains(content, []byte(killerVariable+"_STATE="+state+"\x00")) {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "comm"))
			left = append(left, filepath.Base(filepath.Dir(path))+" "+strings.TrimSpace(string(name)))
		}
	}
	return left
}
