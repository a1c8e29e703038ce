package generator

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/child"
	"github.com/peregrine-sec/peregrine/internal/generator/engine"
	"github.com/peregrine-sec/peregrine/internal/generator/sandbox"

	"github.com/peregrine-sec/peregrine/internal/generator/artifact"
)

// spawned is one worker process.
type spawned struct {
	run     string
	options Options
	journal *sandbox.Journal
	// container is the name of a real one that its engine has not answered about.
	container string
	command   *exec.Cmd
	client    bool          // the command must not be killed while it has a container made
	answer    chan struct{} // closed when the engine has answered about the container
	patience  time.Duration
	killed    atomic.Bool // the client, since it did not stop
	stdin     io.WriteCloser
	frames    *os.File
	stderr    bytes.Buffer
}

// newRun is an id for a run.
func newRun() string { return fmt.Sprintf("%08x", rand.Uint32()) }

// spawnOne runs all actions of o in one worker process, where p says.
func spawnOne(ctx context.Context, o Options, b brief, p *part) (*Result, error) {
	// The kernel kills the worker when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s := &spawned{run: newRun(), options: o, patience: clientPatience}
	var err error
	if s.journal, err = sandbox.OpenJournal(o.Sandbox.StateDir, s.run); err != nil {
		return nil, err
	}
	b.Run = s.run
	result, err := s.start(ctx, b, p)
	if aborted(o.Abort) {
		err = ErrAborted
	}
	return result, errors.Join(err, s.remains(), s.journal.Undo())
}

// ErrAborted is returned by Spawn when Options.Abort was closed.
var ErrAborted = errors.New("aborted: the worker process was killed")

func aborted(abort <-chan struct{}) bool {
	select {
	case <-abort: // never ready if nil
		return true
	default:
		return false
	}
}

func (s *spawned) start(ctx context.Context, b brief, p *part) (*Result, error) {
	if p.real {
		if err := s.contain(p); err != nil {
			return nil, err
		}
		return s.converse(ctx, b)
	}
	task := child.Task(taskWork)
	if p.lookalike {
		lookalike, err := sandbox.NewLookalike(s.run, s.journal)
		if err != nil {
			return nil, err
		}
		task = child.Task(taskJoin + strings.Join(lookalike.Paths, ":"))
	}
	if s.options.Sandbox.Off {
		if err := s.unsandboxed(&b); err != nil {
			return nil, err
		}
	}
	if err := s.exec(task, b.Network); err != nil {
		return nil, err
	}
	return s.converse(ctx, b)
}

// unsandboxed makes a scratch directory on the host.
func (s *spawned) unsandboxed(b *brief) error {
	top := filepath.Join(os.TempDir(), "peregrine-"+s.run)
	b.Env.Scratch, b.Env.Exe = filepath.Join(top, "scratch"), filepath.Join(top, "peregrine")
	for _, dir := range []string{top, b.Env.Scratch} {
		directory := artifact.Artifact{Path: dir, Kind: artifact.Directory}
		if err := s.journal.Make(directory, func() error { return os.Mkdir(dir, 0o755) }); err != nil {
			return err
		}
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	// A copy, since every user must be able to execute it.
	program := artifact.Artifact{Path: b.Env.Exe, Kind: artifact.File, CopyOf: exe}
	return s.journal.Make(program, func() error { return action.CopyProgram(exe, b.Env.Exe, os.O_CREATE|os.O_EXCL) })
}

// RunArgument is the worker process's only argument, followed by the run's id.
// The process does not read it, but a sensor's alert names the command line,
// and thus the run that performed the action.
const RunArgument = "peregrine-run="

// exec starts the worker process.
func (s *spawned) exec(task child.Task, network bool) error {
	exe, err := os.Executable() // not /proc/self/exe, after which the process would be named "exe"
	if err != nil {
		return err
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	s.frames = reader
	s.command = exec.Command(exe, RunArgument+s.run)
	s.command.Env = append(os.Environ(), task.Env())
	if s.options.Mix != nil {
		// Without signals to interrupt workers: function calls do.
		s.command.Env = append(s.command.Env, uninterrupted(os.Getenv("GODEBUG")))
	}
	s.command.ExtraFiles = []*os.File{writer, s.journal.Descriptor()}
	s.command.Stderr = &s.stderr
	s.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if !s.options.Sandbox.Off {
		s.command.SysProcAttr.Cloneflags = sandbox.Cloneflags(network)
		// A container has its own process ids, which distinguish it from the
		// host. Where instances are matched with alerts, threads are known by
		// those of the host.
		if s.options.Mix != nil && strings.HasPrefix(string(task), taskJoin) {
			s.command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWPID
		}
	}
	return s.begin(writer)
}

// uninterrupted is GODEBUG with the user's settings, and ours last: the last of
// a name counts.
func uninterrupted(user string) string {
	if user != "" {
		user += ","
	}
	return "GODEBUG=" + user + "asyncpreemptoff=1"
}

// contain starts the worker process in a real container.
func (s *spawned) contain(p *part) error {
	place := s.options.Sandbox
	s.container, s.answer = s.containerName(), make(chan struct{})
	if err := s.journal.Container(place.Engine, s.container, false); err != nil {
		return err
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	s.frames = reader
	s.command, err = place.Engine.Run(engine.Spec{
		Name: s.container, Image: place.Image, Privileged: p.privileged, Network: place.Egress,
		Env: []string{child.Task(taskContained).Env()}, Args: []string{RunArgument + s.run},
	})
	if err != nil {
		return errors.Join(err, writer.Close(), reader.Close())
	}
	s.command.Stdout, s.command.Stderr = writer, &s.stderr
	s.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// When this process has died, the end of the command's standard input ends it.
	s.client = place.Engine.NeedsClient()
	if !s.client {
		s.command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	return s.begin(writer)
}

// clientPatience is how long a command has to make a container, or to stop.
const clientPatience = 20 * time.Second

// end ends the command at once. One that must not be killed while it has a
// container made may finish that until done is closed: podman is asked to stop,
// and ctr, which a signal would kill, is killed when the container runs. Whichever
// takes too long is killed with its process group.
func (s *spawned) end(done <-chan struct{}) {
	if !s.client {
		_ = s.command.Process.Kill() // it may have ended
		return
	}
	var answer <-chan struct{}
	if s.options.Sandbox.Engine == engine.Containerd {
		answer = s.answer
	} else {
		_ = s.command.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-done:
	case <-answer:
		_ = s.command.Process.Kill()
	case <-time.After(s.patience):
		s.kill(done)
	}
}

// kill ends a client that takes too long, with its process group.
func (s *spawned) kill(done <-chan struct{}) {
	select {
	case <-done: // at the same time: its number may be another's now
		return
	default:
	}
	s.killed.Store(true)
	_ = syscall.Kill(-s.command.Process.Pid, syscall.SIGKILL)
}

// remains says what a killed client may have left that its engine does not list.
func (s *spawned) remains() error {
	switch {
	case !s.killed.Load():
		return nil
	case s.options.Sandbox.Engine == engine.Containerd:
		return fmt.Errorf("ctr did not start container %s within %v and was killed: it may have left a shim (ps ax | grep %s), to be killed by hand",
			s.containerName(), s.patience, engine.Containerd.ID(s.containerName()))
	}
	return fmt.Errorf("podman did not stop within %v and was killed: it may have left processes of container %[2]s (ps ax | grep %[2]s), "+
		"to be killed by hand, and files, which podman system prune --external removes", s.patience, s.containerName())
}

func (s *spawned) containerName() string { return "peregrine-" + s.run }

// answered notes that the engine has answered about the container: it runs, or
// the command that asked for it has ended.
func (s *spawned) answered() error {
	name := s.container
	if name == "" {
		return nil
	}
	s.container = ""
	close(s.answer)
	return s.journal.Container(s.options.Sandbox.Engine, name, true)
}

// begin starts the command, whose frames go to writer.
func (s *spawned) begin(writer *os.File) error {
	var err error
	if s.stdin, err = s.command.StdinPipe(); err == nil {
		err = s.command.Start()
	}
	if cerr := writer.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		if errors.Is(err, syscall.EPERM) {
			err = fmt.Errorf("%w: the sandbox needs CAP_SYS_ADMIN (run as root, or with --no-sandbox on the host itself)", err)
		}
		return errors.Join(fmt.Errorf("start worker process: %w", err), s.frames.Close())
	}
	if s.client {
		err = s.journal.Client(s.options.Sandbox.Engine, s.container, s.command.Process.Pid)
	} else {
		err = s.journal.Process(s.command.Process.Pid)
	}
	if err != nil {
		done := make(chan struct{})
		defer close(done)
		go s.end(done)
		return errors.Join(err, s.command.Wait(), s.frames.Close())
	}
	return nil
}

// converse sends the worker process its task, receives its report and waits for
// its end.
func (s *spawned) converse(ctx context.Context, b brief) (*Result, error) {
	defer s.frames.Close()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-s.options.Abort: // never ready if nil
			s.end(done)
		case <-done:
		}
	}()
	var payload bytes.Buffer
	err := gob.NewEncoder(&payload).Encode(b)
	if err == nil {
		err = writeFrame(s.stdin, 0, payload.Bytes())
	}
	defer context.AfterFunc(ctx, func() { s.stop(done) })()
	var result *Result
	if err == nil {
		result, err = s.receive()
	} else {
		err = fmt.Errorf("brief the worker process: %w", err)
	}
	_ = s.stdin.Close() // it may be closed already
	switch werr := s.command.Wait(); {
	case werr != nil && err == nil:
		err = werr
	case werr != nil && errors.Is(err, ErrEnded):
		err = fmt.Errorf("%w (%w)", err, werr) // "signal: killed"
	}
	if s.command.ProcessState.Exited() { // was not killed
		err = errors.Join(err, s.answered())
	}
	if err != nil && s.stderr.Len() > 0 {
		err = fmt.Errorf("%w; worker process: %s", err, strings.TrimSpace(s.stderr.String()))
	}
	return result, err
}

// stop tells the worker process to stop: by the end of its standard input, which
// ctr does not pass on before the container runs. A ctr that takes too long for
// that is killed.
func (s *spawned) stop(done <-chan struct{}) {
	if s.client && s.options.Sandbox.Engine == engine.Containerd {
		select {
		case <-s.answer:
		case <-done:
		case <-time.After(s.patience):
			s.kill(done)
		}
	}
	_ = s.stdin.Close() // it may be closed already
}

// ErrEnded says that the worker process was killed or has crashed: its actions
// are not known.
var ErrEnded = errors.New("the load generator's process ended without a result")

// receive reads frames until the result.
func (s *spawned) receive() (*Result, error) {
	var all [][]Instance // in batches: to move millions in one slice that grows would keep the worker waiting
	for {
		kind, payload, err := readFrame(s.frames)
		if err == io.EOF {
			return nil, ErrEnded
		}
		if err == nil {
			err = s.answered()
		}
		if err != nil {
			return nil, err
		}
		switch kind {
		case frameError:
			return nil, errors.New(string(payload))
		case frameResult:
			result, err := decodeResult(payload)
			if err == nil {
				result.Instances = slices.Concat(all...)
				result.Run = s.run
			}
			return result, err
		case frameReady:
			var skips []string
			if err := json.Unmarshal(payload, &skips); err != nil {
				return nil, err
			}
			if s.options.Ready != nil {
				s.options.Ready(skips)
			}
		case frameBatch:
			batch, err := instances(payload)
			if err != nil {
				return nil, err
			}
			if s.options.Sink != nil {
				s.options.Sink(batch)
			}
			if !s.options.Discard {
				all = append(all, batch)
			}
		}
	}
}

// place describes the environment before anything is made: Spawn and Plan use
// it to decide which actions apply.
func (p *part) place(o *Options) action.Env {
	return action.Env{
		InContainer: p.inside,
		Privileged:  p.privileged,
		Egress:      o.Sandbox.Egress,
		PrivateNet:  !o.Sandbox.Off && !o.Sandbox.Egress,
		HostRoot:    !o.Sandbox.Off && !p.real,
		Kubernetes:  o.Kubernetes,
		Like:        o.Like,
	}
}
