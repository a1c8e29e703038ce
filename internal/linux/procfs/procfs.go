// Package procfs reads processes, mounts and cgroups from proc(5). The parsers
// take a file's text and never panic; the readers take a Root, so that tests,
// and sensors in a container, can point them at another tree.
package procfs

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Root is where a procfs is mounted.
type Root string

// Host is the machine's own procfs.
const Host Root = "/proc"

// path names a file of a process; pid 0 is the reader itself.
func (r Root) path(pid int, name string) string {
	if pid == 0 {
		return string(r) + "/self/" + name
	}
	return string(r) + "/" + strconv.Itoa(pid) + "/" + name
}

// read returns the text of a process's file.
func (r Root) read(pid int, name string) ([]byte, error) {
	return os.ReadFile(r.path(pid, name))
}

// PIDs lists the processes.
func (r Root) PIDs() ([]int, error) {
	dir, err := os.Open(string(r))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// Named lists the processes with a name, the smallest pid first.
func (r Root) Named(name string) ([]int, error) {
	pids, err := r.PIDs()
	pids = slices.DeleteFunc(pids, func(pid int) bool {
		comm, err := r.read(pid, "comm")
		return err != nil || strings.TrimSuffix(string(comm), "\n") != name // it may have ended
	})
	slices.Sort(pids)
	return pids, err
}

// Schedstat sums up, over the threads that a process has now, how long they
// ran on a CPU and how long they waited for one
// (Documentation/scheduler/sched-stats.rst).
func (r Root) Schedstat(pid int) (ran, waited time.Duration) {
	threads, _ := filepath.Glob(r.path(pid, "task/*/schedstat")) // the pattern is well formed
	for _, thread := range threads {
		text, _ := os.ReadFile(thread) // a thread may have ended
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			ran += time.Duration(number(fields[0], 10))
			waited += time.Duration(number(fields[1], 10))
		}
	}
	return ran, waited
}

// Stat reads a process's stat file; pid 0 is the reader itself.
func (r Root) Stat(pid int) (Stat, error) {
	text, err := r.read(pid, "stat")
	if err != nil {
		return Stat{}, err
	}
	s, err := ParseStat(text)
	if err != nil {
		return Stat{}, fmt.Errorf("%s: %w", r.path(pid, "stat"), err)
	}
	return s, nil
}

// StartTime returns when a process started, in clock ticks since boot: with
// the pid it names one process for as long as the machine runs. The error of a
// process that has ended, zombies included, is fs.ErrNotExist.
func (r Root) StartTime(pid int) (uint64, error) {
	s, err := r.Stat(pid)
	if err == nil && s.Ended() {
		err = fmt.Errorf("process %d has ended: %w", pid, fs.ErrNotExist)
	}
	return s.Start, err
}

// Alive says whether the process that has had pid since start still runs.
func (r Root) Alive(pid int, start uint64) bool {
	now, err := r.StartTime(pid)
	return err == nil && now == start
}

// Status reads a process's status file; pid 0 is the reader itself.
func (r Root) Status(pid int) (Status, error) {
	text, err := r.read(pid, "status")
	if err != nil {
		return Status{}, err
	}
	return parseStatus(text), nil
}

// Mounts lists the mounts that the reader sees, in the order of mounting.
func (r Root) Mounts() ([]Mount, error) {
	text, err := r.read(0, "mountinfo")
	if err != nil {
		return nil, err
	}
	return ParseMounts(string(text)), nil
}

// Cgroups lists the cgroups that a process is in; pid 0 is the reader itself.
func (r Root) Cgroups(pid int) ([]Cgroup, error) {
	text, err := r.read(pid, "cgroup")
	if err != nil {
		return nil, err
	}
	return ParseCgroups(string(text)), nil
}

// Fields yields the "KEY: VALUE" and "KEY VALUE" lines of a file such as
// status, meminfo, smaps_rollup or a cgroup's memory.events.
func Fields(text string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for line := range strings.Lines(text) {
			key, value, ok := strings.Cut(line, ":")
			if !ok {
				key, value, ok = strings.Cut(strings.TrimSpace(line), " ")
			}
			if ok && !yield(strings.TrimSpace(key), strings.TrimSpace(value)) {
				return
			}
		}
	}
}

// Number returns the number that the value of key starts with; 0 if the file
// has none.
func Number(text, key string) uint64 {
	first, _, _ := strings.Cut(value(text, key), " ")
	return number(first, 10)
}

func number(s string, base int) uint64 {
	n, err := strconv.ParseUint(s, base, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0
	}
	return n
}
