package output

import (
	"sync"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
)

// backlog keeps the latest alerts for any number of readers. Every reader gets
// every alert from its start on; the first one also what came before it and
// nobody has read. When the backlog is full the oldest alert goes, whether
// read or not: one reader that stands still holds up neither push nor the
// other readers.
//
//	  tail         consumed      next          head
//	   |--- read ----|--- unread by all but one --|
//	positions grow for ever; ring[p % len(ring)] is the alert at position p
type backlog struct {
	mu       sync.Mutex
	ring     []*alert.Alert
	tail     uint64 // the oldest kept
	head     uint64 // where the next one goes
	consumed uint64 // before it, everything was delivered to some reader, or lost

	bytes, maxBytes int
	lost            uint64 // overwritten, and never delivered to anybody
	undelivered     uint64 // left at the end, and never delivered to anybody
	readers         map[*reader]struct{}
	closed          bool
}

// reader is one subscriber's place in a backlog.
type reader struct {
	b        *backlog
	peer     string
	next     uint64 // position it reads next
	taken    int    // alerts from next on that it is sending
	sent     uint64
	missed   uint64 // overwritten before it read them
	sleeping bool
	wake     chan struct{} // one slot
}

func newBacklog(capacity, maxBytes int) *backlog {
	return &backlog{ring: make([]*alert.Alert, capacity), maxBytes: maxBytes, readers: map[*reader]struct{}{}}
}

// push adds a, in place of the oldest if there is no room.
func (b *backlog) push(a *alert.Alert) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		b.head++
		b.tail, b.consumed, b.lost = b.head, b.head, b.lost+1
		return
	}
	b.bytes += a.Size()
	for b.tail < b.head && (b.head-b.tail == uint64(len(b.ring)) || b.bytes > b.maxBytes) {
		b.dropOldest()
	}
	b.ring[b.head%uint64(len(b.ring))] = a
	b.head++
	for r := range b.readers {
		r.wakeUp()
	}
}

func (r *reader) wakeUp() {
	if r.sleeping {
		r.sleeping = false
		r.wake <- struct{}{} // has room: the reader empties it before it sleeps
	}
}

// dropOldest makes room; an alert that no reader has, or is sending, is lost.
func (b *backlog) dropOldest() {
	b.forget()
	if b.consumed >= b.tail {
		return
	}
	b.consumed = b.tail
	for r := range b.readers {
		if p := b.tail - 1; p >= r.next && p < r.next+uint64(r.taken) {
			return // settle counts it
		}
	}
	b.lost++
}

// forget removes the alert at tail.
func (b *backlog) forget() {
	slot := &b.ring[b.tail%uint64(len(b.ring))]
	b.bytes -= (*slot).Size()
	*slot = nil
	b.tail++
}

// subscribe adds a reader, which starts at the first alert nobody has read.
func (b *backlog) subscribe(peer string) *reader {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &reader{b: b, peer: peer, next: b.consumed, wake: make(chan struct{}, 1)}
	b.readers[r] = struct{}{}
	return r
}

func (r *reader) unsubscribe() {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.readers, r)
	b.trim()
}

// take appends to batch up to limit alerts that come next. If there are any,
// the caller must send and settle them; if there are none, wait on wake, or
// stop if closed.
func (r *reader) take(batch []*alert.Alert, limit int) (_ []*alert.Alert, ok, closed bool) {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.next < b.tail {
		r.missed += b.tail - r.next
		r.next = b.tail
	}
	for p := r.next; p < b.head && len(batch) < limit; p++ {
		batch = append(batch, b.ring[p%uint64(len(b.ring))])
	}
	r.taken = len(batch)
	if r.taken == 0 && !b.closed {
		r.sleeping = true
	}
	return batch, r.taken > 0, b.closed
}

// settle says that the first n of the taken alerts have been sent and the
// others have not. It returns whether some of the n were news: no other
// reader had them before.
func (r *reader) settle(n int) bool {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	end := r.next + uint64(r.taken)
	r.next += uint64(n)
	r.sent += uint64(n)
	r.taken = 0
	if gone := min(b.tail, end); gone > r.next {
		b.lost += gone - r.next // overwritten while this reader was sending them
	}
	news := r.next > b.consumed
	b.consumed = max(b.consumed, r.next)
	b.trim()
	return news
}

// trim forgets what every reader has read.
func (b *backlog) trim() {
	oldest := b.consumed
	for r := range b.readers {
		oldest = min(oldest, r.next)
	}
	for b.tail < oldest {
		b.forget()
	}
}

// end is the position after the newest alert.
func (b *backlog) end() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.head
}

// abandon gives up what nobody has read, and returns how many that are.
func (b *backlog) abandon() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.undelivered += b.head - b.consumed
	b.consumed = b.head
	for b.tail < b.head {
		b.forget()
	}
	return b.undelivered
}

// close lets readers end once they have read everything.
func (b *backlog) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for r := range b.readers {
		r.wakeUp()
	}
}
