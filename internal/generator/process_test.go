package generator

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// killing says how a run is ended.
type killing struct {
	mode  string
	delay time.Duration // after it has started
	also  string        // signal to its worker processes before
}

// killRun starts a run and kills it.
func killRun(t *testing.T, k killing, state string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), killerVariable+"="+k.mode, killerVariable+"_STATE="+state)
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
	time.Sleep(k.delay) // to be in another phase each time, which one does not matter
	switch k.also {
	case "kill the workers":
		for _, pid := range workersOf(t, cmd.Process.Pid) {
			send(t, pid, syscall.SIGKILL)
		}
	case "stop the workers":
		for _, pid := range notedWorkers(t, state) {
			send(t, pid, syscall.SIGSTOP)
		}
	}
	send(t, cmd.Process.Pid, syscall.SIGKILL)
	_ = cmd.Wait()
}

func send(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil && err != syscall.ESRCH {
		t.Error(err)
	}
}

// notedWorkers are the processes in a run's journal: a child that has not got as
// far as to be there, and is stopped, is not known to be the run's.
func notedWorkers(t *testing.T, state string) (pids []int) {
	t.Helper()
	journals, err := filepath.Glob(filepath.Join(state, "*.journal"))
	if err != nil {
		t.Fatal(err)
	}
	noted := regexp.MustCompile(`"process":\{"pid":(\d+)`)
	for _, path := range journals {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range noted.FindAllSubmatch(content, -1) {
			if pid, err := strconv.Atoi(string(match[1])); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
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
