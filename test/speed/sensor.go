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

// process is a sensor under measurement.
type process struct {
	cmd    *exec.Cmd
	dir    string
	ready  chan struct{}
	alert  chan struct{} // closed at the first alert
	output chan struct{} // closed at the end of the output
	hooks  chan string   // the log's line about them
}

// start starts one that writes statistics.
func start(binary, hooks string) (*process, error) {
	return startWith(binary, hooks, func(p *process) {
		p.cmd.Args = append(p.cmd.Args, "-s", p.stats(), "--stats-interval", "250")
	})
}

func startWith(binary, hooks string, change func(*process)) (*process, error) {
	dir, err := os.MkdirTemp("", "speed")
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir, ready: make(chan struct{}), alert: make(chan struct{}), output: make(chan struct{}), hooks: make(chan string, 1)}
	p.cmd = exec.Command(binary, "sensor", "-o", "json_output=true", "-o", "peregrine.status_socket="+p.socket(), "-o", "peregrine.hooks="+hooks)
	change(p)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	errs, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.watch(errs)
	go p.read(out)
	return p, nil
}

// read takes the alerts, so that they do not pile up in the sensor.
func (p *process) read(r io.Reader) {
	defer close(p.output)
	first := make([]byte, 1)
	if _, err := io.ReadFull(r, first); err != nil {
		return
	}
	close(p.alert)
	_, _ = io.Copy(io.Discard, r) // until it has closed its output
}

func (p *process) socket() string { return filepath.Join(p.dir, "status.sock") }

func (p *process) stats() string { return filepath.Join(p.dir, "stats.txt") }

func (p *process) watch(r io.Reader) {
	in := bufio.NewScanner(r)
	for in.Scan() {
		if strings.Contains(in.Text(), "ready:") {
			close(p.ready)
		}
		if _, said, ok := strings.Cut(in.Text(), "syscalls are seen "); ok {
			select {
			case p.hooks <- said:
			default: // the first is waited for
			}
		}
	}
}

func (p *process) stop() error {
	defer os.RemoveAll(p.dir)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-p.output
	return p.cmd.Wait()
}

// cpu is summed from the clocks of the threads: /proc/PID/stat samples at the
// ticks, which a sensor that wakes up every millisecond meets too often.
func (p *process) cpu() (sum time.Duration, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			return 0, err
		}
		running, _, _ := strings.Cut(string(stat), " ")
		ns, err := strconv.ParseInt(running, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

func (p *process) rss() (uint64, error) {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseUint(strings.Fields(string(statm))[1], 10, 64)
	return pages * uint64(os.Getpagesize()), err
}

// sample is the last line of the statistics file.
func (p *process) sample() (sensorstats.Sample, error) {
	f, err := os.Open(p.stats())
	if err != nil {
		return sensorstats.Sample{}, err
	}
	defer f.Close()
	samples, err := sensorstats.ReadAll(f)
	if err != nil || len(samples) == 0 {
		return sensorstats.Sample{}, errors.Join(err, errors.New("no sample"))
	}
	return samples[len(samples)-1], nil
}

// settle waits until the requested hooks are in force, and returns those in
// force: the sensor starts at the tracepoint.
func (p *process) settle(asked string) (string, error) {
	if asked == "tracepoint" {
		return asked, nil
	}
	select {
	case said := <-p.hooks:
		return said, nil
	case <-time.After(time.Minute):
		return "", errors.New("the sensor does not say how it sees syscalls")
	}
}

// startup is the time from exec to the first alert of a file that is opened
// again and again.
func startup(binary, hooks string) (result, error) {
	begin := time.Now()
	p, err := start(binary, hooks)
	if err != nil {
		return result{}, err
	}
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				if f, err := os.Open("/etc/shadow"); err == nil {
					f.Close()
				}
				time.Sleep(time.Millisecond)
			}
		}
	}()
	select {
	case <-p.alert:
	case <-time.After(time.Minute):
		return result{}, errors.New("no alert after a minute")
	}
	r := result{firstAlert: time.Since(begin)}
	close(stop)
	return r, p.stop()
}
