package usage

import (
	"errors"
	"fmt"
	"os"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// process holds the open files of the watched process.
type process struct {
	pid    int
	stat   *os.File // stays that process's, should the pid be reused
	start  uint64   // start time, by which a reuse is noticed
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

// read takes a sample, with the costly parts if asked to; its error means that the
// process is gone.
func (p *process) read(costly bool) (sample, error) {
	n, err := p.stat.ReadAt(p.buf, 0)
	if n == 0 {
		return sample{}, err
	}
	s, start, err := parseSample(p.buf[:n])
	if err != nil {
		return sample{}, err
	}
	if p.start != 0 && p.start != start {
		return sample{}, os.ErrProcessDone
	}
	p.start = start
	if costly {
		s.pss = readPSS(p.pid)
		_, s.waited = procfs.Host.Schedstat(p.pid)
	}
	s.cgroup = p.cgroup.read()
	return s, nil
}

// parseSample reads the text of a stat file; os.ErrProcessDone if the process
// has ended.
func parseSample(text []byte) (s sample, start uint64, err error) {
	stat, err := procfs.ParseStat(text)
	if err != nil {
		return s, 0, err
	}
	if stat.Ended() {
		return s, 0, os.ErrProcessDone
	}
	s.user, s.system, s.virtual, s.rss = stat.User, stat.System, stat.Virtual, stat.RSS
	return s, stat.Start, nil
}

// readPSS is the proportional set size; 0 if it may not be read.
func readPSS(pid int) uint64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	return procfs.Number(string(b), "Pss") << 10
}
