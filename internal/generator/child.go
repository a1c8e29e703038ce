package generator

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/child"
	"github.com/peregrine-sec/peregrine/internal/generator/pace"
	"github.com/peregrine-sec/peregrine/internal/generator/sandbox"
)

// The tasks of this package, besides those of package child.
const (
	taskWork = "work"  // be the worker process: a brief on stdin, frames on descriptor 3
	taskJoin = "join:" // enter the cgroups that follow, ":"-separated, then work
	// be the worker process in a real container: frames on standard output
	taskContained = "contained"
)

// The worker process's descriptors after the standard ones.
const (
	framesFD  = 3
	journalFD = 4
)

// brief is the task of the worker process.
type brief struct {
	Run     string
	Options Options
	Env     action.Env // as known to Spawn
	Overlay []string
	Network bool
	// Instances says that they are asked for, not only counted.
	Instances bool
}

func init() {
	for _, p := range []pace.Pacer{pace.Constant{}, pace.Ramp{}, pace.Steps{}, pace.Sleep{}, pace.Series{}} {
		gob.Register(p)
	}
}

// Child is called first in main and in TestMain. If this process was started
// by the generator, it does its task and returns its exit status and true.
func Child() (status int, is bool) {
	task := child.Requested()
	switch {
	case task == "":
		return 0, false
	case task == taskWork:
		syscall.CloseOnExec(framesFD)
		syscall.CloseOnExec(journalFD)
		return work(os.NewFile(framesFD, "frames")), true
	case task == taskContained:
		return contained(), true
	case strings.HasPrefix(string(task), taskJoin):
		return join(strings.TrimPrefix(string(task), taskJoin)), true
	}
	fmt.Fprintf(os.Stderr, "unknown task %q in %s\n", task, child.Variable)
	return 255, true
}

// join enters the cgroups and executes this program again: sensors look at a
// process's cgroups when it executes something.
func join(paths string) int {
	err := sandbox.Join(strings.Split(paths, ":"))
	if err == nil {
		var exe string
		if exe, err = os.Executable(); err == nil {
			err = syscall.Exec(exe, os.Args, append(os.Environ(), child.Variable+"="+taskWork))
		}
	}
	return refuse(os.NewFile(framesFD, "frames"), err)
}

// contained keeps standard output for itself: actions' programs have another.
func contained() int {
	frames, err := unix.FcntlInt(uintptr(unix.Stdout), unix.F_DUPFD_CLOEXEC, journalFD+1)
	if err == nil {
		err = unix.Dup3(unix.Stderr, unix.Stdout, 0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "standard output:", err)
		return 1
	}
	return work(os.NewFile(uintptr(frames), "frames"))
}

// refuse reports an error that came before any action.
func refuse(frames *os.File, err error) int {
	if werr := writeFrame(frames, frameError, []byte(err.Error())); werr != nil {
		fmt.Fprintln(os.Stderr, errors.Join(err, werr))
	}
	return 1
}

// work is the worker process.
func work(frames *os.File) int {
	// Signals from the terminal are for the parent process.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	var b brief
	if err := readGob(os.Stdin, &b); err != nil {
		return refuse(frames, fmt.Errorf("read brief: %w", err))
	}
	env, err := b.enter()
	if err != nil {
		return refuse(frames, err)
	}
	// When standard input ends, it is time to stop: it does so too when the
	// process that started us dies.
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	var lost error
	b.Options.Discard = true
	if b.Instances {
		b.Options.Sink = func(batch []Instance) {
			if lost == nil {
				lost = writeFrame(frames, frameBatch, instanceBytes(batch))
			}
			if lost != nil {
				stop()
			}
		}
	}
	b.Options.Ready = func(skips []string) {
		payload, err := json.Marshal(skips)
		lost = errors.Join(err, writeFrame(frames, frameReady, payload))
	}
	result, err := Run(ctx, b.Options, env)
	if err = errors.Join(err, lost); err != nil {
		return refuse(frames, err)
	}
	payload, err := encodeResult(result)
	if err == nil {
		err = writeFrame(frames, frameResult, payload)
	}
	if err != nil {
		return refuse(frames, err)
	}
	return 0
}

// enter makes the place where the actions run.
func (b *brief) enter() (action.Env, error) {
	env := b.Env
	env.Prefix = "peregrine-" + b.Run + "-"
	if b.Options.Sandbox.Off {
		journal, err := sandbox.Inherit(os.NewFile(journalFD, "journal"))
		env.Journal = journal
		return env, err
	}
	place, err := sandbox.Enter(sandbox.Spec{Run: b.Run, Overlay: b.Overlay, Network: b.Network, Addresses: action.Addresses()})
	if err != nil {
		return env, fmt.Errorf("sandbox: %w", err)
	}
	env.Scratch, env.Exe = place.Scratch, place.Exe
	env.Disposable, env.PrivateNet = true, b.Network
	if env.Like != nil { // relative paths begin here
		return env, os.Chdir(env.Scratch)
	}
	return env, nil
}

// readGob reads one length-prefixed value, and not a byte more.
func readGob(r io.Reader, into *brief) error {
	_, payload, err := readFrame(r)
	if err != nil {
		return err
	}
	return gob.NewDecoder(bytes.NewReader(payload)).Decode(into)
}
