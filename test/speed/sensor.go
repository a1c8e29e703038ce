package main

import (
	"bufio"
	"bytes"
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

	"github.com/peregrine-sec/peregrine/internal/stats"
)

// process is a sensor under measurement.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner // alerts
	dir   string
	ready chan struct{}
}

func start(binary string) (*process, error) {
	dir, err := os.MkdirTemp("", "speed")
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir, ready: make(chan struct{})}
	p.cmd = exec.Command(binary, "sensor", "-o", "json_output=true", "-o", "peregrine.status_socket=",
		"-s", p.stats(), "--stats-interval", "250")
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	errs, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	p.lines = bufio.NewScanner(out)
	p.lines.Buffer(nil, 1<<20)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.watch(errs)
	return p, nil
}

func (p *process) stats() string { return filepath.Join(p.dir, "stats.txt") }

func (p *process) watch(r io.Reader) {
	in := bufio.NewScanner(r)
	for in.Scan() {
		if strings.Contains(in.Text(), "ready:") {
			close(p.ready)
		}
	}
}

func (p *process) stop() error {
	defer os.RemoveAll(p.dir)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	for p.lines.Scan() { // until it has closed its output
	}
	return p.cmd.Wait()
}

// cpu is the process's user and system time: proc(5), fields 14 and 15.
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}

func (p *process) rss() (uint64, error) {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseUint(strings.Fields(string(statm))[1], 10, 64)
	return pages * uint64(os.Getpagesize()), err
}

// counters are those of the last line of the statistics file.
func (p *process) counters() (stats.Counters, error) {
	f, err := os.Open(p.stats())
	if err != nil {
		return stats.Counters{}, err
	}
	defer f.Close()
	samples, err := stats.ReadAll(f)
	if err != nil || len(samples) == 0 {
		return stats.Counters{}, errors.Join(err, errors.New("no sample"))
	}
	return samples[len(samples)-1].Cur, nil
}

// startup is the time from exec to the first alert of a file that is opened
// again and again.
func startup(binary string) (result, error) {
	begin := time.Now()
	p, err := start(binary)
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
	if !p.lines.Scan() {
		return result{}, errors.New("the sensor ended without an alert")
	}
	r := result{firstAlert: time.Since(begin)}
	close(stop)
	return r, p.stop()
}
