package output

import (
	"sync"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
)

// queue holds the alerts that wait for one channel, and those its workers have
// taken and not finished. push never blocks, and allocates only while more wait
// than ever before.
type queue struct {
	mu       sync.Mutex
	ring     []*alert.Alert // up to capacity
	head     int            // the next to take
	n        int            // waiting in ring
	held     int            // waiting, or taken and not finished
	capacity int            // of held

	bytes, maxBytes int // of all held

	alerts, overflow uint64
	sleeping         int // workers that wait for wake
	closed           bool
	wake             chan struct{}
	ending           chan struct{} // closed with the queue
}

// few is how many alerts a queue has room for at first: the room for its whole
// capacity would be most of an idle channel's memory.
const few = 64

func newQueue(capacity, maxBytes, workers int) *queue {
	return &queue{
		ring: make([]*alert.Alert, min(few, capacity)), capacity: capacity, maxBytes: maxBytes,
		wake: make(chan struct{}, workers), ending: make(chan struct{}),
	}
}

// push adds a, or drops, counts and releases it if the queue is full.
func (q *queue) push(a *alert.Alert) {
	q.mu.Lock()
	q.alerts++
	size := a.Size()
	if q.held == q.capacity || q.bytes+size > q.maxBytes || q.closed {
		q.overflow++
		q.mu.Unlock()
		a.Release()
		return
	}
	if q.n == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.n)%len(q.ring)] = a
	q.n++
	q.held++
	q.bytes += size
	wake := q.sleeping > 0
	if wake {
		q.sleeping--
	}
	q.mu.Unlock()
	if wake {
		q.wake <- struct{}{} // has room: one slot for each worker
	}
}

// grow makes the ring, which is full, twice as long.
func (q *queue) grow() {
	longer := make([]*alert.Alert, min(2*len(q.ring), q.capacity))
	n := copy(longer, q.ring[q.head:])
	copy(longer[n:], q.ring[:q.head])
	q.ring, q.head = longer, 0
}

// take appends up to limit waiting alerts to batch. Without any it
// returns false, and the caller must wait on wake before it asks again, or
// stop if closed is true.
func (q *queue) take(batch []*alert.Alert, limit int) (_ []*alert.Alert, ok, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n == 0 {
		if !q.closed {
			q.sleeping++
		}
		return batch, false, q.closed
	}
	for ; q.n > 0 && limit > 0; limit-- {
		batch = append(batch, q.ring[q.head])
		q.ring[q.head] = nil
		q.head = (q.head + 1) % len(q.ring)
		q.n--
	}
	return batch, true, q.closed
}

// done says that taken alerts are finished, whichever way, and releases them.
func (q *queue) done(finished []*alert.Alert) {
	size := 0
	for i, a := range finished {
		size += a.Size()
		finished[i] = nil
		a.Release()
	}
	q.mu.Lock()
	q.held -= len(finished)
	q.bytes -= size
	q.mu.Unlock()
}

// close lets workers end once the queue is empty; pushes then overflow.
func (q *queue) close() {
	q.mu.Lock()
	if !q.closed {
		close(q.ending)
	}
	q.closed = true
	wake := q.sleeping
	q.sleeping = 0
	q.mu.Unlock()
	for range wake {
		q.wake <- struct{}{}
	}
}

// counts returns how many alerts came, how many overflowed and how many are
// held, all of the same moment.
func (q *queue) counts() (alerts, overflow, held uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.alerts, q.overflow, uint64(q.held)
}
