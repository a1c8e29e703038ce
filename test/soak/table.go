package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// table compares the sensor's process table with /proc, pid by pid. A process
// that comes or goes meanwhile may be in it or not. An exit that was lost is
// noticed some seconds later: it tries for half a minute.
func (s *sensor) table(ctx context.Context) error {
	var last error
	for range 60 {
		before, err := running()
		if err != nil {
			return err
		}
		known, err := s.client.Processes(ctx)
		if err != nil {
			return err
		}
		after, err := running()
		if err != nil {
			return err
		}
		if last = agree(before, after, known); last == nil {
			return nil
		}
		if err := wait.For(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("the process table and /proc never agree:\n%w", last)
}

// running are the processes of the machine that have not ended.
func running() (map[int32]procfs.Stat, error) {
	pids, err := procfs.Host.PIDs()
	if err != nil {
		return nil, err
	}
	all := map[int32]procfs.Stat{}
	for _, pid := range pids {
		if stat, err := procfs.Host.Stat(pid); err == nil && !stat.Ended() {
			all[int32(pid)] = stat
		}
	}
	return all, nil
}

// agree returns the errors in known, between two reads of /proc.
func agree(before, after map[int32]procfs.Stat, known []metrics.KnownProcess) error {
	var errs []error
	table := map[int32]metrics.KnownProcess{}
	for _, k := range known {
		table[k.PID] = k
		was, is := before[k.PID], after[k.PID]
		if start := k.Start / uint64(procfs.Tick); start != was.Start && start != is.Start {
			errs = append(errs, fmt.Errorf("%d %s of start %d is in the table and not in /proc", k.PID, k.Name, start))
		}
	}
	for pid, was := range before {
		is, k := after[pid], table[pid]
		switch {
		case is.Start != was.Start: // it has ended
		case k.Start/uint64(procfs.Tick) != is.Start:
			errs = append(errs, fmt.Errorf("%d %s of start %d is in /proc and not in the table", pid, is.Comm, is.Start))
		case k.PPID != was.PPID && k.PPID != is.PPID:
			errs = append(errs, fmt.Errorf("%d %s: parent %d in the table, %d in /proc", pid, is.Comm, k.PPID, is.PPID))
		}
	}
	return errors.Join(errs...)
}
