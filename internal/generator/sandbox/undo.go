package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// undo takes one thing back, and says what it did, "" if nothing was there.
func (e entry) undo() (did string, err error) {
	switch {
	case e.File != "":
		return removed(e.File, os.Remove(e.File))
	case e.Dir != "":
		if _, err := os.Lstat(e.Dir); errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		return removed(e.Dir, os.RemoveAll(e.Dir))
	case e.Cgroup != "":
		return removeCgroup(e.Cgroup)
	case e.Process != nil:
		return e.Process.kill()
	}
	return "", fmt.Errorf("journal entry of a kind that this version does not know")
}

func removed(path string, err error) (string, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return "removed " + path, nil
}

// patience is how long undoing waits for the kernel: for a killed process to
// end, for a cgroup to be empty.
const patience = 5 * time.Second

// removeCgroup kills what is left in a cgroup and removes it.
func removeCgroup(path string) (string, error) {
	deadline := time.Now().Add(patience)
	for {
		pids, err := os.ReadFile(path + "/cgroup.procs")
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		for _, word := range strings.Fields(string(pids)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 1 && pid != os.Getpid() {
				_ = unix.Kill(pid, unix.SIGKILL) // it may have ended meanwhile
			}
		}
		err = unix.Rmdir(path)
		switch {
		case err == nil:
			return "removed " + path, nil
		case err == unix.ENOENT:
			return "", nil
		case err != unix.EBUSY || time.Now().After(deadline):
			return "", fmt.Errorf("remove cgroup %s: %w", path, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// kill ends the process if it is still the one that was noted, and waits.
func (p *process) kill() (string, error) {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err == unix.ESRCH {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("process %d: %w", p.PID, err)
	}
	defer unix.Close(fd)
	// The pidfd holds one process; only then its start time is read.
	if start, err := startTime(p.PID); err != nil || start != p.Start {
		return "", nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return "", fmt.Errorf("kill process %d: %w", p.PID, err)
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, int(patience.Milliseconds())); err == nil && n == 0 {
		return "", fmt.Errorf("process %d does not end", p.PID)
	}
	return fmt.Sprintf("killed process %d", p.PID), nil
}

// startTime is field 22 of /proc/PID/stat; the name in field 2 may contain
// anything, so that counting starts after its last parenthesis.
func startTime(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat: %d fields after the name, expected at least 20", pid, len(fields))
	}
	return strconv.ParseUint(fields[19], 10, 64)
}
