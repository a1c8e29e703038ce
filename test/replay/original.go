package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/sandbox"
)

// original is the workload at work, in what sensors and the recorder take for a
// container: so it is told from all else that this machine does.
type original struct {
	cmd     *exec.Cmd
	journal *sandbox.Journal
}

func startOriginal(dir string, multiple float64) (o *original, err error) {
	run := fmt.Sprintf("replay-%d", os.Getpid())
	o = &original{}
	if o.journal, err = sandbox.OpenJournal("", run); err != nil {
		return nil, err
	}
	lookalike, err := sandbox.NewLookalike(run, o.journal)
	if err != nil {
		return nil, errors.Join(err, o.journal.Undo())
	}
	self, err := os.Executable()
	if err != nil {
		return nil, errors.Join(err, o.journal.Undo())
	}
	o.cmd = exec.Command(self)
	o.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%g", multipleVariable, multiple), dirVariable+"="+dir, cgroupsVariable+"="+strings.Join(lookalike.Paths, ":"))
	o.cmd.Stderr = os.Stderr
	// Its end is that of all processes that it has started.
	o.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, o.journal.Undo())
	}
	if err := o.cmd.Start(); err != nil {
		return nil, errors.Join(err, o.journal.Undo())
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		return nil, errors.Join(errors.New("the workload has not started"), o.stop())
	}
	return o, nil
}

func (o *original) start() time.Time { return time.Time{} }

func (o *original) stop() error {
	err := o.cmd.Process.Kill()
	_ = o.cmd.Wait() // killed
	return errors.Join(err, o.journal.Undo())
}
