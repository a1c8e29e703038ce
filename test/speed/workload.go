package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// workload is real work: commands, each of which is an operation, or a server
// under a load that runs on and on.
type workload struct {
	name    string
	server  []string                // started before; empty: none
	port    string                  // that it listens on
	check   []string                // succeeds when the server is ready; empty: it is when it listens
	read    func() (reading, error) // the server's count
	command []string
	user    *syscall.Credential
	prepare func() error // once, before all; nil: nothing
	renew   func() error // before each command; nil: nothing
	clean   func() error // after all; nil: nothing
}

// missing is the first program that is not installed.
func (w workload) missing() string {
	for _, args := range [][]string{w.server, w.command} {
		if len(args) > 0 {
			if _, err := exec.LookPath(args[0]); err != nil {
				return args[0]
			}
		}
	}
	return ""
}

// begin starts the load, and returns a function that ends it. Work without a
// server runs once, so that its files are in the page cache.
func (w workload) begin() (end func() error, err error) {
	if w.prepare != nil {
		if err := w.prepare(); err != nil {
			return nil, err
		}
	}
	if len(w.server) == 0 {
		_, err := w.commands(0)
		return func() error { return nil }, err
	}
	stop, err := w.serve()
	if err != nil {
		return nil, err
	}
	client := w.cmd(context.Background(), w.command)
	if err := client.Start(); err != nil {
		return nil, errors.Join(err, stop())
	}
	return func() error {
		err := client.Process.Kill()
		_ = client.Wait() // killed
		return errors.Join(err, stop())
	}, nil
}

// slice is the work of some time, once it has begun.
func (w workload) slice(length time.Duration) (s slice, err error) {
	if len(w.server) == 0 {
		return w.commands(length)
	}
	before, err := w.read()
	if err != nil {
		return s, err
	}
	time.Sleep(length)
	after, err := w.read()
	if err != nil {
		return s, err
	}
	if after.ops-before.ops < 10 {
		return s, fmt.Errorf("%s does nothing", w.command[0])
	}
	return slice{after.ops - before.ops, after.at - before.at}, nil
}

// commands runs the command again and again for some time, at least once.
func (w workload) commands(length time.Duration) (s slice, err error) {
	for s.ops == 0 || s.seconds < length.Seconds() {
		if w.renew != nil {
			if err := w.renew(); err != nil {
				return s, err
			}
		}
		begin := time.Now()
		if _, err := w.output(w.command...); err != nil {
			return s, err
		}
		s.ops, s.seconds = s.ops+1, s.seconds+time.Since(begin).Seconds()
	}
	return s, nil
}

// rate is that of one slice, with a load of its own.
func (w workload) rate(length time.Duration) (rate float64, err error) {
	end, err := w.begin()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, end()) }()
	s, err := w.slice(length)
	return s.rate(), err
}

// output is that of a command of the workload's user.
func (w workload) output(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	out, err := w.cmd(ctx, args).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", args[0], err)
	}
	return string(out), nil
}

// cmd is a command of the workload's user.
func (w workload) cmd(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	if w.user != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: w.user}
		cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH"), "HOME=/"}
	}
	return cmd
}

// serve starts the server, waits until it takes connections, and returns a
// function that ends it.
func (w workload) serve() (end func() error, err error) {
	cmd := w.cmd(context.Background(), w.server)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	end = func() error {
		err := cmd.Process.Signal(syscall.SIGINT) // of PostgreSQL, one that does not wait for clients
		_ = cmd.Wait()                            // ended by the signal
		return err
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := w.serves()
		if err == nil {
			return end, nil
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("%s does not serve port %s", w.server[0], w.port), err, end())
		}
	}
}

// serves is nil when the server is ready.
func (w workload) serves() error {
	if len(w.check) > 0 {
		return w.cmd(context.Background(), w.check).Run()
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+w.port)
	if err != nil {
		return err
	}
	return conn.Close()
}
