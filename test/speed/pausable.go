package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/live"
)

// pausable is a sensor that detaches its programs and attaches them again when it
// is asked to (the tag pausable of package probe). In between it is stopped, so that
// the others have the CPUs for themselves.
type pausable struct {
	*process
	asks    *os.File
	answers *bufio.Scanner
	since   usage // when it was last attached
	watched usage // while it was attached
}

// buildPausable builds such a sensor in a directory.
func buildPausable(dir string) (binary string, err error) {
	binary = filepath.Join(dir, "peregrine")
	out, err := exec.Command("go", "build", "-trimpath", "-tags", "pausable", "-o", binary, "./cmd/peregrine").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build a sensor that can pause: %w: %s", err, out)
	}
	return binary, nil
}

// startPausable starts one, and returns when its start is over. It is attached.
func startPausable(binary string) (*pausable, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "pauses"), os.NewFile(uintptr(pair[1]), "pauses")
	defer theirs.Close()
	p, err := startWith(binary, "tracepoint", func(p *process) {
		p.cmd.ExtraFiles, p.cmd.Env = []*os.File{theirs}, append(os.Environ(), "PEREGRINE_PAUSES=3")
	})
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	select {
	case <-p.ready:
	case <-p.output:
		return nil, errors.Join(errors.New("the sensor ended before it was ready"), ours.Close(), p.stop())
	}
	time.Sleep(8 * time.Second) // it gives memory back after 7
	s := &pausable{process: p, asks: ours, answers: bufio.NewScanner(ours)}
	if s.since, err = s.use(); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// pause detaches it.
func (p *pausable) pause() error {
	now, err := p.use()
	if err != nil {
		return err
	}
	p.watched = p.watched.plus(now.minus(p.since))
	return errors.Join(p.ask("pause"), p.cmd.Process.Signal(syscall.SIGSTOP))
}

// resume attaches it.
func (p *pausable) resume() (err error) {
	if err := errors.Join(p.cmd.Process.Signal(syscall.SIGCONT), p.ask("resume")); err != nil {
		return err
	}
	p.since, err = p.use()
	return err
}

func (p *pausable) ask(what string) error {
	if _, err := fmt.Fprintln(p.asks, what); err != nil {
		return err
	}
	if !p.answers.Scan() {
		return errors.New("the sensor does not answer")
	}
	if said := p.answers.Text(); said != "" {
		return fmt.Errorf("%s: %s", what, said)
	}
	return nil
}

// stop ends the sensor.
func (p *pausable) stop() error {
	return errors.Join(p.cmd.Process.Signal(syscall.SIGCONT), p.asks.Close(), p.process.stop())
}

// usage is the sensor's since some time in the past.
type usage struct{ elapsed, cpu time.Duration }

func (u usage) plus(v usage) usage  { return usage{u.elapsed + v.elapsed, u.cpu + v.cpu} }
func (u usage) minus(v usage) usage { return usage{u.elapsed - v.elapsed, u.cpu - v.cpu} }

func (p *pausable) use() (usage, error) {
	cpu, err := p.cpu()
	return usage{time.Since(begin), cpu}, err
}

var begin = time.Now()

// work is what a sensor did while it was attached.
type work struct {
	usage
	seen, delivered uint64
}

func (w work) minus(v work) work {
	return work{w.usage.minus(v.usage), w.seen - v.seen, w.delivered - v.delivered}
}

// String is cells of the table.
func (w work) String() string {
	return fmt.Sprintf("%.1f %% | %.0f | %.0f | %.1f %%", 100*w.cpu.Seconds()/w.elapsed.Seconds(), float64(w.seen)/w.elapsed.Seconds(),
		float64(w.delivered)/w.elapsed.Seconds(), 100*float64(w.delivered)/float64(max(w.seen, 1)))
}

// did is the work until now, of a sensor that is attached.
func (p *pausable) did() (work, error) {
	c := live.NewClient(p.socket())
	defer c.Close()
	s, err := c.Snapshot(context.Background())
	if err != nil {
		return work{}, err
	}
	now, err := p.use()
	return work{p.watched.plus(now.minus(p.since)), s.Probe.Seen, s.Probe.Delivered}, err
}

// costs has the sensor measure its programs for a second.
func (p *pausable) costs() (*metrics.Costs, error) {
	c := live.NewClient(p.socket())
	defer c.Close()
	return c.Costs(context.Background(), time.Second)
}
