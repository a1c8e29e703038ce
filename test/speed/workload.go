package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// workload is real work of which the operations a second are taken: the figure
// that the command prints, or how often it ran.
type workload struct {
	name    string
	server  []string // started before; empty: none
	port    string   // that it listens on
	check   []string // succeeds when the server is ready; empty: it is when it listens
	command []string
	figure  *regexp.Regexp // nil: the command does one operation
	user    *syscall.Credential
	prepare func() error // once, before the first run; nil: nothing
	renew   func() error // before each run; nil: nothing
	clean   func() error // after the last run; nil: nothing
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

// ready does what comes before the first run. Work without a server runs once,
// so that its files are in the page cache.
func (w workload) ready() error {
	if w.prepare != nil {
		if err := w.prepare(); err != nil {
			return err
		}
	}
	if len(w.server) > 0 {
		return nil
	}
	_, err := w.run()
	return err
}

// run gives the operations per second.
func (w workload) run() (rate float64, err error) {
	if w.renew != nil {
		if err := w.renew(); err != nil {
			return 0, err
		}
	}
	if len(w.server) > 0 {
		end, err := w.serve()
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, end()) }()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	begin := time.Now()
	out, err := w.cmd(ctx, w.command).Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w%s", w.command[0], err, said(err))
	}
	if w.figure == nil {
		return 1 / time.Since(begin).Seconds(), nil
	}
	found := w.figure.FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("%s: no figure in %q", w.command[0], out)
	}
	return strconv.ParseFloat(string(found[1]), 64)
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

// said is what a failed command said.
func said(err error) string {
	var exit *exec.ExitError
	if !errors.As(err, &exit) || len(exit.Stderr) == 0 {
		return ""
	}
	return ": " + string(exit.Stderr)
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
