package ring

import (
	"errors"
	"math"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// window is how long an event may take from its time stamp to its place in the
// ring. Programs on tracepoints are not preempted, and take microseconds.
//
// With several rings, an event is handed out only when it is older than the
// window, seen from a moment before the producers' positions were read: until
// then, an older event may still be on its way into another ring. An event that
// takes longer (the hypervisor stole the CPU in the middle of a program) is
// delivered late and out of order, but not lost.
const window = 200 * time.Microsecond

// Reader merges the events of several rings. It belongs to one goroutine.
type Reader struct {
	rings   []*buffer
	heap    []*buffer // those with a head, the oldest first
	horizon uint64    // events up to this time may be handed out
	now     func() uint64
	unmap   []func() error
	fds     []int // of the rings, our own
	backoff backoff

	epoll *os.File        // over all rings; nil if they are not the kernel's
	ready syscall.RawConn // of epoll
	woken atomic.Bool     // since the last await
	waits *atomic.Uint64  // 1 in await

	parked bool // in await, since the last pause
}

func newReader(rings []*buffer, now func() uint64) *Reader {
	return &Reader{rings: rings, heap: make([]*buffer, 0, len(rings)), now: now, backoff: newBackoff(), waits: new(atomic.Uint64)}
}

// Next returns the oldest event there is. The bytes belong to the ring and are
// valid until the following call. False means that there is nothing now.
func (r *Reader) Next() ([]byte, bool) {
	if len(r.heap) == 0 || r.heap[0].time > r.horizon {
		r.refill()
		if len(r.heap) == 0 || r.heap[0].time > r.horizon {
			return nil, false
		}
	}
	b := r.heap[0]
	event := b.head
	// A quarter of the ring at the most is taken and not given back.
	if b.next-b.published > b.mask/4 {
		b.release()
	}
	if !b.advance() {
		last := len(r.heap) - 1
		r.heap[0] = r.heap[last]
		r.heap = r.heap[:last]
	}
	r.siftDown()
	r.backoff.events++
	return event, true
}

// Fill is how full a ring is, in bytes.
type Fill struct{ Size, Used, MaxUsed uint64 }

// Fill returns the rings' own.
func (r *Reader) Fill() []Fill {
	fill := make([]Fill, len(r.rings))
	for i, b := range r.rings {
		used := b.producer.Load() - b.published
		fill[i] = Fill{b.mask + 1, used, max(b.most, used)}
	}
	return fill
}

// refill starts a batch: it gives back consumed records, and looks for new ones
// in every ring.
func (r *Reader) refill() {
	r.horizon = math.MaxUint64
	if len(r.rings) > 1 {
		r.horizon = r.now() - uint64(window)
	}
	for _, b := range r.rings {
		b.release()
		b.extend()
		if b.head == nil && b.advance() {
			r.push(b)
		}
	}
}

// push adds a ring to the heap of heads.
func (r *Reader) push(b *buffer) {
	r.heap = append(r.heap, b)
	for i := len(r.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if r.heap[parent].time <= r.heap[i].time {
			return
		}
		r.heap[parent], r.heap[i] = r.heap[i], r.heap[parent]
		i = parent
	}
}

// siftDown restores the heap after its first ring has got another head. As
// events come in runs from one CPU, that is two comparisons mostly.
func (r *Reader) siftDown() {
	h := r.heap
	for i := 0; ; {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1].time < h[c].time {
			c++
		}
		if h[i].time <= h[c].time {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}

// Wait pauses until it is worth asking again, or for the given time: a
// millisecond or less while events come in, and until the next one when there
// are few.
func (r *Reader) Wait(atMost time.Duration) {
	if len(r.heap) > 0 { // events younger than the window
		sleep(window)
		return
	}
	if r.epoll != nil && r.backoff.quiet() {
		r.await(atMost)
		return
	}
	if r.parked {
		// The thread that found the event may have been the one that was to
		// look after the runtime's timers, and goes to sleep now: let another
		// take over, or they wait for the monitor thread, 20 ms.
		r.parked = false
		runtime.Gosched()
	}
	sleep(min(r.backoff.next(), atMost))
}

// Wake ends a Wait for the next event; a shorter pause goes on. It may be
// called from any goroutine, and after Close.
func (r *Reader) Wake() {
	r.woken.Store(true)
	if r.epoll != nil {
		_ = r.epoll.SetReadDeadline(time.Unix(0, 1)) // closed: there is no wait
	}
}

// Close unmaps the rings. No Wait may be under way, and events borrowed from them
// must not be touched again.
func (r *Reader) Close() error {
	var errs []error
	for _, unmap := range r.unmap {
		errs = append(errs, unmap())
	}
	if r.epoll != nil {
		errs = append(errs, r.epoll.Close())
	}
	for _, fd := range r.fds {
		errs = append(errs, unix.Close(fd))
	}
	r.rings, r.heap, r.unmap, r.fds = nil, nil, nil, nil
	return errors.Join(errs...)
}
