package limit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	linuxcgroup "github.com/peregrine-sec/peregrine/internal/linux/cgroup"
	"github.com/peregrine-sec/peregrine/internal/linux/pidfd"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
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
	cmd.WaitDelay = time.Second // for children that keep its output open
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// undo undoes one step. Objects that no longer exist need no undoing.
func (h Host) undo(s step) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	switch s.Kind {
	case "write":
		return ignoreGone(linuxcgroup.Write(s.Path, s.Value))
	case "mkdir":
		return ignoreGone(linuxcgroup.Remove(s.Path))
	case "move":
		if !procfs.Host.Alive(s.PID, s.Start) {
			return nil
		}
		return ignoreGone(linuxcgroup.Move(s.Path, s.PID))
	case "process":
		_, err := pidfd.Kill(ctx, s.PID, s.Start)
		return err
	case "unit":
		return s.Unit.apply(ctx, h, s.Path)
	case "scope":
		return h.stopScope(ctx, s.Path)
	case "docker":
		return newDocker(s.Socket).update(ctx, s.Path, *s.Docker)
	}
	return fmt.Errorf("journal has a step of kind %q, which this version does not know", s.Kind)
}

// ignoreGone drops errors about objects that no longer exist.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.ENODEV) {
		return nil
	}
	return err
}
