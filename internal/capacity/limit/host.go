package limit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Runner runs a program to its end and returns its standard output.
type Runner func(ctx context.Context, name string, args ...string) (string, error)

// Host is the machine whose limits are changed. Tests put another tree under
// Root and another Run in place; the zero value is the real machine.
type Host struct {
	Root string // "" is the real root directory
	Run  Runner // systemctl and busctl; nil executes them
}

func (h Host) path(elem ...string) string {
	return filepath.Join(append([]string{h.Root + "/"}, elem...)...)
}

func (h Host) run(ctx context.Context, name string, args ...string) (string, error) {
	if h.Run != nil {
		return h.Run(ctx, name, args...)
	}
	return execute(ctx, name, args...)
}

func execute(ctx context.Context, name string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// undo takes one step back. What is no longer there needs no undoing.
func (h Host) undo(s step) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	switch s.Kind {
	case "write":
		return ignoreGone(writeFile(s.Path, s.Value))
	case "mkdir":
		return ignoreGone(removeCgroup(s.Path))
	case "move":
		if !alive(s.PID, s.Start) {
			return nil
		}
		return ignoreGone(moveProcess(s.Path, s.PID))
	case "process":
		return killProcess(ctx, s.PID, s.Start)
	case "unit":
		return s.Unit.apply(ctx, h, s.Path)
	case "scope":
		return h.stopScope(ctx, s.Path)
	case "docker":
		return newDocker(s.Socket).update(ctx, s.Path, *s.Docker)
	}
	return fmt.Errorf("journal has a step of kind %q, which this version does not know", s.Kind)
}

// ignoreGone drops the errors that say that the thing does not exist any more.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.ENODEV) {
		return nil
	}
	return err
}

func readFile(path string) (string, error) {
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), err
}

func writeFile(path, value string) error {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		return fmt.Errorf("write %q: %w", value, err)
	}
	return nil
}

// moveProcess puts a process and its threads into the cgroup directory dir.
func moveProcess(dir string, pid int) error {
	return writeFile(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(pid))
}

// removeCgroup removes the cgroup directory dir; a process that is still in
// it goes to the parent, since it may be one that is not ours to end.
func removeCgroup(dir string) error {
	for attempt := 0; ; attempt++ {
		procs, err := readFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return err
		}
		for _, pid := range strings.Fields(procs) {
			n, err := strconv.Atoi(pid)
			if err != nil {
				return fmt.Errorf("%s/cgroup.procs: %w", dir, err)
			}
			if err := ignoreGone(moveProcess(filepath.Dir(dir), n)); err != nil {
				return err
			}
		}
		err = syscall.Rmdir(dir)
		// A process may have forked between the reading and the removal.
		if err != syscall.EBUSY || attempt == 10 {
			if err != nil {
				return fmt.Errorf("remove cgroup %s: %w", dir, err)
			}
			return nil
		}
	}
}

// killProcess ends the process that has had pid since start, and waits until
// it is gone.
func killProcess(ctx context.Context, pid int, start uint64) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return ignoreGone(err)
	}
	defer unix.Close(fd)
	// With the pidfd in hand the pid cannot be given to another process.
	if !alive(pid, start) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		return ignoreGone(err)
	}
	for {
		// A pidfd becomes readable when its process ends.
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
		if n > 0 || (err != nil && err != unix.EINTR) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("process %d has not ended after SIGKILL", pid)
		}
	}
}
