// Package cli is the command line: one file per command, each of which turns
// flags into an options struct and makes one call. No decision about
// detection, load or measurement is taken here. It is the only package that
// prints to the terminal or chooses an exit code.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/screen"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// Exit codes shared by all commands. The sensor, like Falco, knows only OK
// and Failure.
const (
	ExitOK           = 0
	ExitFailure      = 1   // something failed while running
	ExitUsage        = 2   // invalid command line
	ExitPreflight    = 3   // a precondition of the measurement does not hold
	ExitInconclusive = 4   // measured, but no claim can be made
	ExitThreshold    = 99  // a --fail-if condition is true
	ExitInterrupted  = 130 // stopped by a signal; results are partial
)

// Env is everything a command may take from the process around it, so that
// tests can run whole commands in-process.
type Env struct {
	Args   []string // without the program name
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Getenv func(string) string
	// Terminal says whether Stderr is a terminal: progress lines and colours
	// are for people only.
	Terminal bool
	// Context ends at the first of the signals that end a command, Hurry at the
	// second; nil: never.
	Context, Hurry context.Context
}

// OS is the Env of the running process.
func OS() Env {
	ctx, hurry := onSignals(endings(os.Args[1:])...)
	// A closed reader of standard output or error must not kill a command with
	// changes to undo, nor a sensor: with a handler, the write fails instead
	// (os/signal, SIGPIPE).
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return Env{
		Args:     os.Args[1:],
		Stdin:    os.Stdin,
		Stdout:   os.Stdout,
		Stderr:   os.Stderr,
		Getenv:   os.Getenv,
		Terminal: isTerminal(os.Stderr),
		Context:  ctx,
		Hurry:    hurry,
	}
}

// endings are the signals that end a command gracefully: its changes are
// undone, and its files are removed. Signals of a terminal that are ignored
// stay so, as by nohup. A sensor takes SIGHUP for a reload.
func endings(args []string) []os.Signal {
	list := []os.Signal{os.Interrupt, syscall.SIGTERM}
	for _, s := range []os.Signal{syscall.SIGQUIT, syscall.SIGHUP} {
		reload := s == syscall.SIGHUP && len(args) > 0 && args[0] == "sensor"
		if !reload && !signal.Ignored(s) {
			list = append(list, s)
		}
	}
	return list
}

// onSignals returns contexts that end with the first of the signals, and with
// the second.
func onSignals(signals ...os.Signal) (first, second context.Context) {
	first, end := context.WithCancel(context.Background())
	second, hurry := context.WithCancel(context.Background())
	arrived := make(chan os.Signal, 2)
	signal.Notify(arrived, signals...)
	go func() {
		<-arrived
		end()
		<-arrived
		hurry()
		time.Sleep(stubborn)
		for len(arrived) > 0 {
			<-arrived
		}
		<-arrived
		wait.Within(lastWord, func() { _ = screen.Leave() })
		os.Exit(ExitInterrupted)
	}()
	return first, second
}

// stubborn is the time after which a command that two signals have not ended
// counts as stuck: the next signal kills it. "generate cleanup" and "capacity
// restore" undo the changes that it leaves.
const stubborn = time.Second

// ExitError carries a command's exit code. Err may be nil if the error has been
// reported.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// Main runs the command line in env and returns the process's exit code.
func Main(env Env) int {
	root := newRoot(env)
	root.SetArgs(env.Args)
	started := noteStart(root)
	cmd, err := root.ExecuteContextC(env.Context)
	if err == nil {
		return ExitOK
	}
	var exit *ExitError
	if !errors.As(err, &exit) {
		exit = &ExitError{Code: ExitFailure, Err: err}
		if !*started && !ofSensor(cmd) {
			exit.Code = ExitUsage
		}
	}
	if readerGone(exit.Err) {
		return 128 + int(syscall.SIGPIPE) // as of others that "| head" ends
	}
	if exit.Err != nil {
		wait.Within(lastWord, func() { fmt.Fprintf(env.Stderr, "Error: %v\n", exit.Err) })
	}
	return exit.Code
}

// interrupted is the end of a command that a signal has stopped.
func interrupted(err error, what string) error {
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted: " + what)
	}
	return &ExitError{Code: ExitInterrupted, Err: err}
}

// readerGone says whether a command failed because its standard output has no
// reader.
func readerGone(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path) && path.Path == os.Stdout.Name() && errors.Is(path.Err, syscall.EPIPE)
}

// lastWord is the time for the last message of a command: a stalled reader must
// not keep it from ending.
const lastWord = time.Second

// noteStart notes when a command starts: errors before that are cobra's, about
// arguments and about flags that are missing or are mutually exclusive.
func noteStart(root *cobra.Command) *bool {
	started := new(bool)
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if run := cmd.RunE; run != nil {
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				*started = true
				return run(cmd, args)
			}
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(root)
	return started
}

// ofSensor says whether the command is the one that Falco's manifests call.
func ofSensor(cmd *cobra.Command) bool {
	for ; cmd != nil; cmd = cmd.Parent() {
		if cmd.HasParent() && !cmd.Parent().HasParent() && cmd.Name() == "sensor" {
			return true
		}
	}
	return false
}
