package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/linux/cgroup"
	"github.com/peregrine-sec/peregrine/internal/linux/pidfd"
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
		pids, err := cgroup.Procs(path)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		for _, pid := range pids {
			if pid > 1 && pid != os.Getpid() {
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
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	was, err := pidfd.Kill(ctx, p.PID, p.Start)
	if !was || err != nil {
		return "", err
	}
	return fmt.Sprintf("killed process %d", p.PID), nil
}
