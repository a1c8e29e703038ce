package target

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// Config says how to start a sensor as a child of this process. Its alerts
// must come as JSON lines on its standard output.
type Config struct {
	Command []string
	// Env is added to this process's environment.
	Env []string
	// Ready is a word in a line of the sensor's standard error that says that
	// it sees events. With "", Start returns once the process runs.
	Ready        string
	ReadyTimeout time.Duration // default 30 s
	// ReadyHint says that Ready is optional: after ReadyTimeout a process that
	// still runs counts as started, and its alerts decide.
	ReadyHint   bool
	StopTimeout time.Duration // from SIGTERM to SIGKILL; default 10 s
	// CPUs is the limit under which it starts, 0 for none. Both timeouts are
	// longer for it.
	CPUs float64
	// StatsFile is the file that Command makes the sensor append stats to.
	StatsFile string
	// Log, if not nil, gets the sensor's standard error.
	Log io.Writer
}

// Process is a Target that bench starts and stops. It can be started again
// after Stop.
type Process struct {
	config   Config
	say      func(format string, args ...any)
	sayEvery time.Duration // while it waits
	lists    bool          // its rules, with -L

	run    *run // nil before the first Start
	alerts intake.Source
	stats  sensorstats.Reader
}

var _ Target = (*Process)(nil)

// NewProcess prepares a sensor to be started.
func NewProcess(c Config) *Process {
	c.ReadyTimeout = cmp.Or(c.ReadyTimeout, 30*time.Second)
	c.StopTimeout = cmp.Or(c.StopTimeout, 10*time.Second)
	if c.CPUs > 0 {
		c.ReadyTimeout += time.Duration(startWork / c.CPUs * float64(time.Second))
		c.StopTimeout += time.Duration(stopWork / c.CPUs * float64(time.Second))
	}
	return &Process{config: c, say: func(string, ...any) {}, sayEvery: 10 * time.Second}
}

// Tell has say told what takes long.
func (p *Process) Tell(say func(format string, args ...any)) { p.say = say }

// The seconds of CPU that a sensor may use to start and to stop. Ours uses 0.6 to
// 1.3 for a start, most of them for the kernel's check of its programs.
const (
	startWork = 4
	stopWork  = 0.5
)

// run is one life of the process.
type run struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // after exited
	ready  chan struct{}
	heard  chan struct{} // closed at the end of standard error
	tail   *tail
}

func (p *Process) Start(ctx context.Context, started func(pid int) error) error {
	if p.run != nil {
		return fmt.Errorf("start sensor: it already runs as process %d", p.PID())
	}
	if err := p.start(started); err != nil {
		return fmt.Errorf("start sensor: %w", err)
	}
	err := p.awaitReady(ctx)
	if err == nil {
		return nil
	}
	if said := p.run.tail.String(); said != "" {
		err = fmt.Errorf("%w; it said:\n%s", err, said)
	}
	_ = p.Stop(context.WithoutCancel(ctx)) // the reason is better known
	return fmt.Errorf("start sensor: %w", err)
}

// awaitReady waits until the sensor says that it is ready.
func (p *Process) awaitReady(ctx context.Context) error {
	timeout := time.NewTimer(p.config.ReadyTimeout)
	defer timeout.Stop()
	defer p.sayWhile("waiting for the sensor to be ready", p.run, p.config.ReadyTimeout)()
	select {
	case <-p.run.ready:
		return nil
	case <-p.run.exited:
		p.run.lastWords()
		return fmt.Errorf("it ended with %s", ending(p.run.err))
	case <-timeout.C:
		if p.config.ReadyHint {
			return nil
		}
		return fmt.Errorf("not ready after %v%s", p.config.ReadyTimeout, p.slow())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// slow says what a sensor that was not ready in time has spent, and what to do.
func (p *Process) slow() string {
	text := fmt.Sprintf(", with %.2f s of CPU", cpuOf(p.PID()).Seconds())
	if p.config.CPUs > 0 {
		text += fmt.Sprintf(" under a limit of %s: give it more CPU, or fewer rules", human.CPUs(p.config.CPUs))
	}
	return text
}

// sayWhile tells every few seconds what is waited for, until it is called.
func (p *Process) sayWhile(what string, r *run, most time.Duration) (end func()) {
	done, begin := make(chan struct{}), time.Now()
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(p.sayEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			p.say("%s: %v of at most %v, %.2f s of CPU used", what, time.Since(begin).Round(time.Second), most.Round(time.Second), cpuOf(r.cmd.Process.Pid).Seconds())
		}
	})
	return func() { close(done); wg.Wait() }
}

// cpuOf is the CPU time of a process so far; 0 if it has ended.
func cpuOf(pid int) time.Duration {
	stat, err := procfs.Host.Stat(pid)
	if err != nil {
		return 0
	}
	return stat.User + stat.System
}

func (p *Process) start(started func(pid int) error) (err error) {
	if p.config.StatsFile != "" {
		reader, err := sensorstats.OpenFile(p.config.StatsFile, true)
		if err != nil {
			return err
		}
		defer func() {
			if p.run == nil {
				reader.Close()
			}
		}()
		p.stats = reader
	}
	stdout, out, err := os.Pipe()
	if err != nil {
		return err
	}
	stderr, errOut, err := os.Pipe()
	if err != nil {
		stdout.Close()
		out.Close()
		return err
	}
	p.run = &run{cmd: exec.Command(p.config.Command[0], p.config.Command[1:]...), exited: make(chan struct{}), ready: make(chan struct{}),
		heard: make(chan struct{}), tail: &tail{}}
	p.run.cmd.Env = append(os.Environ(), p.config.Env...)
	p.run.cmd.Stdout, p.run.cmd.Stderr = out, errOut
	begun := make(chan error)
	go p.run.keep(begun, started)
	err = <-begun
	out.Close()
	errOut.Close()
	if err != nil {
		p.run = nil
		stdout.Close()
		stderr.Close()
		return err
	}
	p.alerts = intake.NewReader(stdout, false)
	go p.run.listen(stderr, p.config.Ready, p.config.Log)
	return nil
}

// keep starts the process and waits for its end, on one thread that lives as
// long as the process: the parent-death signal, by which the sensor does not
// outlive a bench that was killed, is tied to the thread (prctl(2)), and so is
// the trace that holds the process back before its first instruction while
// started puts it under its limits.
func (r *run) keep(begun chan<- error, started func(pid int) error) {
	runtime.LockOSThread()
	r.cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGTERM,
		Setpgid:   true, // Ctrl-C is for bench, which stops the sensor in order
		Ptrace:    started != nil,
	}
	err := r.cmd.Start()
	if err == nil && started != nil {
		err = r.hold(started)
	}
	begun <- err
	if err != nil {
		return
	}
	r.err = r.cmd.Wait()
	close(r.exited)
}

// hold calls started while the process is stopped at its exec.
func (r *run) hold(started func(pid int) error) error {
	pid := r.cmd.Process.Pid
	var status syscall.WaitStatus
	_, err := syscall.Wait4(pid, &status, 0, nil)
	if err == nil && !status.Stopped() {
		err = fmt.Errorf("process ended (%v) before it began", status)
	}
	if err == nil {
		err = started(pid)
	}
	if detachErr := syscall.PtraceDetach(pid); err == nil {
		err = detachErr
	}
	if err != nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
	}
	return err
}

// listen reads the process's standard error to its end.
func (r *run) listen(stderr io.ReadCloser, word string, log io.Writer) {
	defer close(r.heard)
	defer stderr.Close()
	waiting := word != ""
	if !waiting {
		close(r.ready)
	}
	lines := bufio.NewReaderSize(stderr, maxLine)
	for {
		piece, err := lines.ReadSlice('\n') // of a longer line, a part
		line := string(piece)
		if line != "" {
			r.tail.add(line)
			if log != nil {
				_, _ = io.WriteString(log, line) // the sensor's log is not the measurement
			}
		}
		if waiting && strings.Contains(line, word) {
			waiting = false
			close(r.ready)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// lastWords waits until all that an ended process said is read; not for ever,
// as a child that it left behind may hold its standard error.
func (r *run) lastWords() {
	select {
	case <-r.heard:
	case <-time.After(time.Second):
	}
}

func (p *Process) Stop(ctx context.Context) error {
	if p.run == nil {
		return nil
	}
	r := p.run
	p.run = nil
	err := p.terminate(ctx, r)
	err = errors.Join(err, p.alerts.Close())
	if p.stats != nil {
		err = errors.Join(err, p.stats.Close())
	}
	return err
}

func (p *Process) terminate(ctx context.Context, r *run) error {
	select {
	case <-r.exited:
		r.lastWords()
		return &EndedError{how: r.err, said: r.tail.String()}
	default:
	}
	_ = r.cmd.Process.Signal(syscall.SIGTERM) // it may be gone meanwhile: exited tells
	timeout := time.NewTimer(p.config.StopTimeout)
	defer timeout.Stop()
	defer p.sayWhile("waiting for the sensor to end", r, p.config.StopTimeout)()
	select {
	case <-r.exited:
	case <-timeout.C:
		_ = r.cmd.Process.Kill()
		<-r.exited
		return fmt.Errorf("sensor did not end within %v of SIGTERM, and was killed", p.config.StopTimeout)
	case <-ctx.Done():
		_ = r.cmd.Process.Kill()
		<-r.exited
		return ctx.Err()
	}
	if exit, ok := errors.AsType[*exec.ExitError](r.err); ok && exit.Sys().(syscall.WaitStatus).Signal() == unix.SIGTERM {
		return nil // it has no handler, but works
	}
	if r.err != nil {
		r.lastWords()
		return fmt.Errorf("sensor stopped with %s; it said:\n%s", ending(r.err), r.tail)
	}
	return nil
}

// EndedError is the error of a sensor that ended without being stopped.
type EndedError struct {
	how  error // of exec.Cmd.Wait
	said string
}

func (e *EndedError) Error() string {
	return fmt.Sprintf("sensor ended by itself with %s; it said:\n%s", ending(e.how), e.said)
}

// Killed says that a signal ended it: another process's, or the kernel's for want
// of memory.
func (e *EndedError) Killed() bool {
	var exit *exec.ExitError
	return errors.As(e.how, &exit) && exit.Sys().(syscall.WaitStatus).Signaled()
}

func ending(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

func (p *Process) PID() int {
	if p.run == nil {
		return 0
	}
	return p.run.cmd.Process.Pid
}

func (p *Process) Alerts() intake.Source { return p.alerts }

func (p *Process) Stats() sensorstats.Reader { return p.stats }

func (p *Process) Command() []string { return slices.Clone(p.config.Command) }

func (p *Process) Exited() <-chan struct{} {
	if p.run == nil {
		return nil
	}
	return p.run.exited
}

// tail keeps the last lines of a process's output.
type tail struct {
	mu    sync.Mutex
	lines []string
}

const tailLines = 20

// maxLine bounds a line of the sensor's log.
const maxLine = 16 << 10

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == tailLines {
		t.lines = t.lines[1:]
	}
	t.lines = append(t.lines, "  "+human.Text(strings.TrimRight(line, "\n")))
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}
