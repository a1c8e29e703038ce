package ring

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/linux/boottime"
)

// Open maps BPF ring buffers of size bytes each, given as descriptors of the
// maps; these may be closed afterwards. Programs wake the reader only while
// waits, which they share with it, is not 0: after each event, by a record of
// less than 8 bytes.
func Open(fds []int, size int, waits *atomic.Uint64) (*Reader, error) {
	r := newReader(nil, func() uint64 { return uint64(boottime.Now()) })
	r.waits = waits
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

// watch makes the rings' own notifications reach await: all go to one epoll
// descriptor, and from there, when await requests it, once to another, which is
// in the Go runtime's poller. The rings' descriptors are duplicated: a map's
// poll needs one that stays open.
func (r *Reader) watch(fds []int) error {
	all, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	r.fds = append(r.fds, all)
	for _, fd := range fds {
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		r.fds = append(r.fds, own)
		if err := unix.EpollCtl(all, unix.EPOLL_CTL_ADD, own, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
			return err
		}
	}
	once, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(once, true); err != nil { // os.NewFile wants to know
		return errors.Join(err, unix.Close(once))
	}
	r.epoll = os.NewFile(uintptr(once), "ring buffers")
	if err := unix.EpollCtl(once, unix.EPOLL_CTL_ADD, all, &unix.EpollEvent{Events: unix.EPOLLONESHOT}); err != nil {
		return err
	}
	r.ready, err = r.epoll.SyscallConn()
	return err
}

// await returns when a ring has an event, after Wake, after d, or earlier. The
// goroutine is parked in the Go runtime's own poller: after a system call that
// blocks, the runtime's monitor thread checks some fifty times, in 7 ms,
// whether to retake the processor, which was most of the work of an idle
// sensor.
func (r *Reader) await(d time.Duration) {
	_ = r.epoll.SetReadDeadline(time.Now().Add(d)) // without one, the next event ends it
	r.waits.Store(1)
	defer r.waits.Store(0)
	if r.woken.Swap(false) || r.unread() {
		return
	}
	parked := false
	_ = r.ready.Read(func(once uintptr) bool { // the error is the deadline
		if parked {
			notified(once) // which ends the notifications, too
			return true
		}
		parked = true
		return notify(once, r.fds[0]) || notified(once)
	})
	r.parked = true
}

// unread says whether a ring has something new, also if it is being written.
func (r *Reader) unread() bool {
	return slices.ContainsFunc(r.rings, func(b *buffer) bool { return b.producer.Load() != b.next })
}

// notify requests one notification. True means that there will be none.
func notify(once uintptr, all int) bool {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, once, unix.EPOLL_CTL_MOD, uintptr(all), uintptr(unsafe.Pointer(&event)), 0, 0)
	return errno != 0
}

// notified takes the notification, if it has arrived.
func notified(once uintptr) bool {
	var event unix.EpollEvent
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, once, uintptr(unsafe.Pointer(&event)), 1, 0, 0, 0)
	return errno != 0 || n > 0
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

// sleep pauses the thread without telling the Go runtime of a system call: the
// goroutine keeps its processor, for the reason that await parks. The code that runs
// a Reader ensures that there are two. A signal of the runtime ends the
// pause early, which does no harm.
func sleep(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_, _, _ = unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, 0, uintptr(unsafe.Pointer(&t)), 0, 0, 0)
}
