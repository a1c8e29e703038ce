package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// load opens and closes a file that no rule looks at: rate times a second, or
// as fast as it goes; without workers, nothing. With dup it duplicates and
// closes a descriptor instead, which only rules about containers look at: the
// kernel filters these events by the kind of call, and opens by their paths.
type load struct {
	rate, workers int
	dup           bool
}

// steady measures the sensor under a load for the given time; limit is a
// number of CPUs, 0 for none.
func steady(binary, hooks string, l load, length time.Duration, limit float64) (result, error) {
	p, err := start(binary, hooks)
	if err != nil {
		return result{}, err
	}
	<-p.ready
	inForce, err := p.settle(hooks)
	if err != nil {
		return result{}, err
	}
	if limit > 0 {
		undo, err := confine(p.cmd.Process.Pid, limit)
		if err != nil {
			return result{}, err
		}
		defer undo()
	}
	var stop atomic.Bool
	var workers sync.WaitGroup
	for range l.workers {
		workers.Go(func() { l.run(p.dir, &stop) })
	}
	time.Sleep(2 * time.Second) // warm up; the clock starts after it
	r, err := p.window(length)
	r.hooks = inForce
	stop.Store(true)
	workers.Wait()
	if err != nil {
		return r, err
	}
	return r, p.stop()
}

// window measures the given time.
func (p *process) window(length time.Duration) (r result, err error) {
	before, err := p.sample()
	if err != nil {
		return r, err
	}
	cpu, err := p.cpu()
	if err != nil {
		return r, err
	}
	begin := time.Now()
	time.Sleep(length)
	r.elapsed = time.Since(begin)
	after, err := p.sample()
	if err != nil {
		return r, err
	}
	r.events, r.drops = after.Cur.Events-before.Cur.Events, after.Cur.Drops-before.Cur.Drops
	now, err := p.cpu()
	if err != nil {
		return r, err
	}
	r.cpu = now - cpu
	r.rss, err = p.rss()
	return r, err
}

func (l load) run(dir string, stop *atomic.Bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		panic(err) // the directory is ours
	}
	call := func() (int, error) { return unix.Open(path, unix.O_RDONLY, 0) }
	if l.dup {
		own, err := call()
		if err != nil {
			panic(err)
		}
		defer unix.Close(own)
		call = func() (int, error) { return unix.Dup(own) }
	}
	begin := time.Now()
	for n := 0; !stop.Load(); n++ {
		fd, err := call()
		if err != nil {
			panic(err)
		}
		unix.Close(fd)
		if l.rate > 0 && n%20 == 19 { // in batches of 20: one wake-up in each
			due := begin.Add(time.Duration(n) * time.Second / time.Duration(l.rate))
			time.Sleep(time.Until(due))
		}
	}
}

// confine limits a process to that many CPUs in a cgroup (v1).
func confine(pid int, cpus float64) (undo func(), err error) {
	dir := fmt.Sprintf("/sys/fs/cgroup/cpu/speed-%d", pid)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("limit the sensor (needs cgroup v1): %w", err)
	}
	undo = func() { os.Remove(dir) } // once the process has ended
	for file, value := range map[string]string{
		"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": fmt.Sprint(int(cpus * 100000)), "cgroup.procs": fmt.Sprint(pid),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0o644); err != nil {
			undo()
			return nil, err
		}
	}
	return undo, nil
}
