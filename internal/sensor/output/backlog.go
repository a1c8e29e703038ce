package output

import (
	"sync"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
)

// backlog keeps the latest alerts for any number of readers. Every reader gets
// every alert from its start on; the first one also earlier unread alerts. When
// the backlog is full the oldest alert is dropped, read or not: a stalled
// reader blocks neither push nor the other readers.
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
	// open are the positions that were overwritten while readers were sending
	// them, and none had sent them: the last of these readers decides.
	open        map[uint64]struct{}
	undelivered uint64 // left at the end, and never delivered
	readers     map[*reader]struct{}
	closed      bool
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
	return &backlog{ring: make([]*alert.Alert, capacity), maxBytes: maxBytes, open: map[uint64]struct{}{}, readers: map[*reader]struct{}{}}
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
	p := b.tail
	b.forget()
	switch {
	case p < b.consumed:
		return
	case b.sending(p):
		b.open[p] = struct{}{}
	default:
		b.lost++
	}
	b.consumed = b.tail
}

// sending says whether a reader is sending the alert at position p.
func (b *backlog) sending(p uint64) bool {
	for r := range b.readers {
		if p >= r.next && p < r.next+uint64(r.taken) {
			return true
		}
	}
	return false
}

// forget removes the alert at tail.
func (b *backlog) forget() {
	slot := &b.ring[b.tail%uint64(len(b.ring))]
	b.bytes -= (*slot).Size()
	*slot = nil
	b.tail++
}

// subscribe adds a reader, which starts at the first unread alert.
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

// take appends to batch up to limit alerts that come next. The caller
// must send and settle them. Without any, it must wait on wake, or stop if closed.
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
	first, sent, end := r.next, r.next+uint64(n), r.next+uint64(r.taken)
	r.next, r.sent, r.taken = sent, r.sent+uint64(n), 0
	news := sent > b.consumed
	for p := first; p < end && len(b.open) > 0; p++ {
		if _, open := b.open[p]; !open || p >= sent && b.sending(p) {
			continue
		}
		delete(b.open, p)
		if news = news || p < sent; p >= sent {
			b.lost++
		}
	}
	b.consumed = max(b.consumed, sent)
	b.trim()
	return news
}

// counts are how many alerts some reader has, and how many are queued: those
// under way included. The caller holds mu.
func (b *backlog) counts() (sent, queued uint64) {
	queued = b.head - b.consumed + uint64(len(b.open))
	return b.head - queued - b.lost - b.undelivered, queued
}

// trim drops alerts that every reader has read.
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

// abandon gives up unread alerts, and returns their number.
func (b *backlog) abandon() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.undelivered += b.head - b.consumed + uint64(len(b.open))
	b.consumed = b.head
	clear(b.open)
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
