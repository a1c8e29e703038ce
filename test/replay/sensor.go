package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// sensor is one under measurement.
type sensor struct {
	cmd   *exec.Cmd
	stats string
	ended chan struct{} // its messages have
}

func startSensor(binary, dir string, flags []string) (*sensor, error) {
	s := &sensor{stats: filepath.Join(dir, "stats.txt"), ended: make(chan struct{})}
	if err := os.RemoveAll(s.stats); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(binary, append([]string{"sensor", "-o", "json_output=true", "-o", "peregrine.status_socket=",
		"-s", s.stats, "--stats-interval", "250"}, flags...)...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	messages, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	var said strings.Builder
	go func() {
		defer close(s.ended)
		in := bufio.NewScanner(messages)
		for waiting := true; waiting && in.Scan(); {
			fmt.Fprintln(&said, in.Text())
			if strings.Contains(in.Text(), "ready:") {
				close(ready)
				waiting = false
			}
		}
		_, _ = io.Copy(io.Discard, messages) // until it has closed them
	}()
	select {
	case <-ready:
		return s, nil
	case <-s.ended:
		return nil, errors.Join(fmt.Errorf("the sensor has not started: %s", said.String()), s.cmd.Wait())
	}
}

func (s *sensor) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-s.ended
	return s.cmd.Wait()
}

// spent is what a sensor has spent and done.
type spent struct {
	cpu    time.Duration
	pauses int64 // of all threads
	sample sensorstats.Sample
	at     time.Time
}

func (s *sensor) spent() (now spent, err error) {
	if now.cpu, err = s.cpu(); err != nil {
		return now, err
	}
	if now.pauses, err = s.pauses(); err != nil {
		return now, err
	}
	now.at = time.Now()
	f, err := os.Open(s.stats)
	if err != nil {
		return now, err
	}
	defer f.Close()
	samples, err := sensorstats.ReadAll(f)
	if err != nil || len(samples) == 0 {
		return now, errors.Join(err, errors.New("the sensor has written no statistics"))
	}
	now.sample = samples[len(samples)-1]
	return now, nil
}

// cpu is summed from the clocks of the threads: /proc/PID/stat samples at the
// ticks, which a sensor that wakes up every millisecond meets too often.
func (s *sensor) cpu() (sum time.Duration, err error) {
	err = s.threads("schedstat", func(text string) error {
		running, _, _ := strings.Cut(text, " ")
		ns, err := strconv.ParseInt(running, 10, 64)
		sum += time.Duration(ns)
		return err
	})
	return sum, err
}

// pauses is how often a thread gave up its CPU.
func (s *sensor) pauses() (sum int64, err error) {
	err = s.threads("status", func(text string) error {
		_, text, _ = strings.Cut(text, "\nvoluntary_ctxt_switches:")
		text, _, _ = strings.Cut(text, "\n")
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		sum += n
		return err
	})
	return sum, err
}

// threads reads a file of each thread in /proc.
func (s *sensor) threads(name string, take func(text string) error) error {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/%s", s.cmd.Process.Pid, name))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := take(string(text)); err != nil {
			return err
		}
	}
	return nil
}

// cost is a sensor's part in a measurement.
type cost struct {
	cpu                              float64 // share of one CPU
	pauses, events, delivered, drops float64 // per second
}

func (now spent) since(before spent) cost {
	seconds := now.at.Sub(before.at).Seconds()
	c := cost{cpu: (now.cpu - before.cpu).Seconds() / seconds,
		pauses: float64(now.pauses-before.pauses) / seconds,
		events: float64(now.sample.Cur.Events-before.sample.Cur.Events) / seconds,
		drops:  float64(now.sample.Cur.Drops-before.sample.Cur.Drops) / seconds}
	if now.sample.Extra != nil && before.sample.Extra != nil {
		c.delivered = float64(now.sample.Extra.Delivered-before.sample.Extra.Delivered) / seconds
	}
	return c
}
