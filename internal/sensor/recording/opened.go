package recording

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
)

// opened reads facts from procfs that the process table lacks. An empty path
// has none.
type opened struct{ proc string }

// The most threads and descriptors listed for one process.
const (
	maxThreads = 4096
	maxFiles   = 1024
)

// Threads are the threads of a process but its main one.
func (o opened) Threads(pid int64) (tids []int64) {
	for _, n := range o.numbers(pid, "task", maxThreads) {
		if n != pid {
			tids = append(tids, n)
		}
	}
	return tids
}

// FDs are the descriptors of a process that have a path.
func (o opened) FDs(pid int64) (fds []capture.FD) {
	for _, n := range o.numbers(pid, "fd", maxFiles) {
		path, err := os.Readlink(filepath.Join(o.of(pid, "fd"), strconv.FormatInt(n, 10)))
		if err == nil && strings.HasPrefix(path, "/") && len(path) < 1024 {
			fds = append(fds, capture.FD{Num: n, Path: path})
		}
	}
	return fds
}

func (o opened) of(pid int64, what string) string {
	return filepath.Join(o.proc, strconv.FormatInt(pid, 10), what)
}

// numbers are the names in a directory of a process; none if it has gone.
func (o opened) numbers(pid int64, what string, most int) (list []int64) {
	if o.proc == "" {
		return nil
	}
	d, err := os.Open(o.of(pid, what))
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(most) // keep the names read before an error
	for _, name := range names {
		if n, err := strconv.ParseInt(name, 10, 64); err == nil {
			list = append(list, n)
		}
	}
	return list
}
