package ring

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Open maps BPF ring buffers of size bytes each, given as descriptors of the
// maps; these may be closed afterwards.
func Open(fds []int, size int) (*Reader, error) {
	r := newReader(nil, boottime)
	for i, fd := range fds {
		b, unmap, err := mapRing(fd, size)
		if err != nil {
			r.Close()
			return nil, fmt.Errorf("map ring buffer %d of %d bytes: %w", i, size, err)
		}
		r.rings = append(r.rings, b)
		r.unmap = append(r.unmap, unmap)
	}
	r.heap = make([]*buffer, 0, len(r.rings))
	if err := r.watch(fds); err != nil {
		r.Close()
		return nil, fmt.Errorf("watch ring buffers: %w", err)
	}
	return r, nil
}

// watch makes the rings' own notifications reach await. The descriptors are
// duplicated: a map's poll needs one that stays open.
func (r *Reader) watch(fds []int) (err error) {
	if r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	for _, fd := range fds {
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		r.fds = append(r.fds, own)
		if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, own, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
			return err
		}
	}
	return nil
}

// await returns when a ring has an event, or after d, or earlier.
func (r *Reader) await(d time.Duration) {
	var events [1]unix.EpollEvent
	_, _ = unix.EpollWait(r.epoll, events[:], int(d.Milliseconds())) // earlier if interrupted
}

// mapRing maps the consumer's page to write, and the producer's page with the
// data behind it to read.
func mapRing(fd, size int) (*buffer, func() error, error) {
	page := os.Getpagesize()
	consumer, err := unix.Mmap(fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	rest, err := unix.Mmap(fd, int64(page), page+size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("%w (%w)", err, unix.Munmap(consumer))
	}
	position := func(b []byte) *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&b[0])) }
	unmap := func() error {
		if err := unix.Munmap(consumer); err != nil {
			return err
		}
		return unix.Munmap(rest)
	}
	return newBuffer(position(consumer), position(rest), rest[page:]), unmap, nil
}

// boottime is the clock that events carry.
func boottime() uint64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return uint64(t.Nano())
}

// sleep is a system call of its own: the goroutine's thread is locked, and
// waking it through the runtime's timers would cost a second thread's wake-up.
func sleep(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &t, nil) // shorter if interrupted
}
