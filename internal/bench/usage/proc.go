package usage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// userHZ is the unit of times in /proc: 100 a second on every architecture
// that Linux has had for twenty years (USER_HZ, include/asm-generic/param.h).
const userHZ = 100

var pageSize = uint64(os.Getpagesize())

// process is what is kept open of the watched process.
type process struct {
	pid    int
	stat   *os.File // stays that process's, should the pid be reused
	start  string   // start time, by which a reuse is noticed
	cgroup cgroup
	buf    []byte
}

func openProcess(pid int) (*process, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("watch process %d: there is no such process", pid)
	}
	if err != nil {
		return nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	return &process{pid: pid, stat: f, cgroup: findCgroup("/", pid), buf: make([]byte, 4096)}, nil
}

func (p *process) close() { p.stat.Close() }

// read takes a sample, with what is dear if asked to; its error means that the
// process is gone.
func (p *process) read(dear bool) (sample, error) {
	n, err := p.stat.ReadAt(p.buf, 0)
	if n == 0 {
		return sample{}, err
	}
	s, start, err := parseStat(p.buf[:n])
	if err != nil {
		return sample{}, err
	}
	if p.start != "" && p.start != start {
		return sample{}, os.ErrProcessDone
	}
	p.start = start
	if dear {
		s.pss, s.waited = readPSS(p.pid), readWaited(p.pid)
	}
	s.cgroup = p.cgroup.read()
	return s, nil
}

// parseStat reads /proc/PID/stat (proc_pid_stat(5)). The command's name may
// hold anything, so that fields are counted after its closing parenthesis.
func parseStat(b []byte) (s sample, start string, err error) {
	i := bytes.LastIndexByte(b, ')')
	fields := strings.Fields(string(b[i+1:]))
	if i < 0 || len(fields) < 22 {
		return s, "", fmt.Errorf("process stat %q: expected 52 fields", b)
	}
	if state := fields[0]; state == "Z" || state == "X" {
		return s, "", os.ErrProcessDone
	}
	number := func(field int) uint64 { // numbered as in the manual, from 1
		n, _ := strconv.ParseUint(fields[field-3], 10, 64)
		return n
	}
	ticks := func(field int) time.Duration { return time.Duration(number(field)) * time.Second / userHZ }
	s.user, s.system = ticks(14), ticks(15)
	s.virtual, s.rss = number(23), number(24)*pageSize
	return s, fields[22-3], nil
}

// readPSS is the proportional set size; 0 if it may not be read.
func readPSS(pid int) uint64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kib, _ := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// readWaited sums up how long the threads there are have waited for a CPU: the
// second figure of their schedstat (Documentation/scheduler/sched-stats.rst).
func readWaited(pid int) (sum time.Duration) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, thread := range threads {
		text, _ := os.ReadFile(thread) // a thread may have ended
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			ns, _ := strconv.ParseInt(fields[1], 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}

// hostTimes are the first line of /proc/stat, in ticks.
type hostTimes struct{ total, idle, steal uint64 }

func readHost() hostTimes {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return hostTimes{}
	}
	return parseHost(string(b))
}

// parseHost reads "cpu user nice system idle iowait irq softirq steal guest
// guest_nice" (proc_stat(5)); guest time is in user time already.
func parseHost(text string) hostTimes {
	line, _, _ := strings.Cut(text, "\n")
	var h hostTimes
	for i, field := range strings.Fields(line) {
		n, _ := strconv.ParseUint(field, 10, 64)
		if i >= 1 && i <= 8 {
			h.total += n
		}
		switch i {
		case 4, 5:
			h.idle += n
		case 8:
			h.steal = n
		}
	}
	return h
}
