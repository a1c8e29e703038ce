// Package pidfd ends and awaits processes, each known by pid and start time, so
// that a reused pid is never mistaken for the original process.
package pidfd

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// Kill ends the process that has had pid since start (procfs.Root.StartTime),
// and waits until it has ended. It says whether there was one.
func Kill(ctx context.Context, pid int, start uint64) (bool, error) {
	fd, err := open(pid, start)
	if err != nil || fd < 0 {
		return false, err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err == unix.ESRCH {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("kill process %d: %w", pid, err)
	}
	for !ended(fd, 100) {
		if ctx.Err() != nil {
			return true, fmt.Errorf("process %d has not ended after SIGKILL: %w", pid, ctx.Err())
		}
	}
	return true, nil
}

// Wait waits until the process that has had pid since start has ended.
func Wait(ctx context.Context, pid int, start uint64) error {
	fd, err := open(pid, start)
	if err != nil || fd < 0 {
		return err
	}
	defer unix.Close(fd)
	for !ended(fd, 100) {
		if ctx.Err() != nil {
			return fmt.Errorf("process %d has not ended: %w", pid, ctx.Err())
		}
	}
	return nil
}

// open returns a descriptor of the process, or -1 if it has ended.
func open(pid int, start uint64) (int, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("process %d: %w", pid, err)
	}
	// The descriptor holds one process. Only now is its start time read.
	if s, err := procfs.Host.Stat(pid); err != nil || s.Start != start || ended(fd, 0) {
		return -1, unix.Close(fd)
	}
	return fd, nil
}

// ended waits some milliseconds for the end of a process, all its threads: its
// descriptor becomes readable then (pidfd_open(2)).
func ended(fd, timeout int) bool {
	n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, timeout) // EINTR is no answer yet
	return n > 0
}
