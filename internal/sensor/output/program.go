package output

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
)

// program writes alerts to the standard input of a shell command: of one that
// is started again when it ends (keepAlive), or of a new one for each alert.
type program struct {
	command   string
	keepAlive bool
	timeout   time.Duration
	output    io.Writer // the command's own standard output and error

	child *child
	lines lineBuffer
	stale atomic.Bool
}

var _ sender = (*program)(nil)

// child is a running command.
type child struct {
	cmd   *exec.Cmd
	stdin *os.File
	ended chan struct{} // closed when it has been waited for
	err   error         // how it ended, after ended
}

func (s *program) deliver(ctx context.Context, batch []*alert.Alert) (sent, refused int, err error) {
	if !s.keepAlive {
		return s.runFor(ctx, batch[0])
	}
	if s.stale.Swap(false) {
		s.stop()
	}
	if s.child != nil && s.child.hasEnded() {
		err := s.child.err
		s.forget()
		return 0, 0, fmt.Errorf("program ended and is started again: %w", orExit0(err))
	}
	if s.child == nil {
		c, err := s.start()
		if err != nil {
			return 0, 0, err
		}
		s.child = c
	}
	sent, err = s.lines.writeWithin(ctx, s.timeout, s.child.stdin, batch)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("program does not read its standard input: %w", err)
	case err != nil: // it ended, or closed its input
		s.stop()
	}
	return sent, 0, err
}

func orExit0(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// runFor runs the command for one alert, as popen and pclose would.
func (s *program) runFor(ctx context.Context, a *alert.Alert) (sent, refused int, err error) {
	c, err := s.start()
	if err != nil {
		return 0, 0, err
	}
	s.lines.restart()
	_, err = s.lines.writeWithin(ctx, s.timeout, c.stdin, []*alert.Alert{a})
	s.lines.restart()
	_ = c.stdin.Close()
	timeout := time.NewTimer(s.timeout)
	defer timeout.Stop()
	select {
	case <-c.ended:
	case <-timeout.C:
		c.kill()
		return 0, 1, fmt.Errorf("program did not end in %v; killed", s.timeout)
	case <-ctx.Done():
		c.kill()
		return 0, 0, ctx.Err()
	}
	if c.err != nil {
		return 0, 1, fmt.Errorf("program: %w", c.err)
	}
	if err != nil && !errors.Is(err, syscall.EPIPE) { // it may end without reading all
		return 0, 1, err
	}
	return 1, 0, nil
}

// start runs the command in a process group of its own, so that the shell's
// children can be ended with it.
func (s *program) start() (*child, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("program: %w", err)
	}
	defer r.Close()
	cmd := exec.Command("/bin/sh", "-c", s.command)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r, s.output, s.output
	cmd.WaitDelay = s.timeout // for output that its children keep open
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, fmt.Errorf("program: %w", err)
	}
	c := &child{cmd: cmd, stdin: w, ended: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

func (c *child) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// kill ends the process group and waits for the command.
func (c *child) kill() {
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) // ESRCH if all have ended
	<-c.ended
}

func (s *program) forget() {
	_ = s.child.stdin.Close()
	s.child = nil
	s.lines.restart()
}

// stop closes the command's input and gives it the timeout to end.
func (s *program) stop() {
	if s.child == nil {
		return
	}
	_ = s.child.stdin.Close()
	timeout := time.NewTimer(s.timeout)
	defer timeout.Stop()
	select {
	case <-s.child.ended:
	case <-timeout.C:
		s.child.kill()
	}
	s.forget()
}

func (s *program) reopen() { s.stale.Store(true) }

func (s *program) close() error {
	s.stop()
	return nil
}
