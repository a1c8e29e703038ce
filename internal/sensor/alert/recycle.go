package alert

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// spare holds released alerts of LineOnly formatters, for reuse. Allocating
// each alert costs more in garbage collection than in allocation: the sensor's
// heap is a few MiB, which 100,000 alerts a second fill 50 times.
//
// The last one released is reused first: its memory is still in the caches.
// sync.Pool passes the oldest first from one thread to another, so that all the
// memory of a past backlog stayed in circulation (BenchmarkAfterBacklog).
var spare stack

// mostSpare bounds the memory, in bytes, that is kept after a backlog.
const mostSpare = 10 << 20

// stack is alerts without a holder, the latest on top.
type stack struct {
	mu    sync.Mutex
	free  []*Alert
	bytes int // of free
}

// spareBytes is the memory of an alert: all but its line is shared, or gone.
func spareBytes(a *Alert) int { return int(unsafe.Sizeof(*a)) + cap(a.Line) }

// pop takes the latest; nil if the stack is empty.
func (s *stack) pop() *Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.free) - 1
	if last < 0 {
		return nil
	}
	a := s.free[last]
	s.free[last] = nil
	s.free = s.free[:last]
	s.bytes -= spareBytes(a)
	return a
}

func (s *stack) push(a *Alert) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := spareBytes(a); s.bytes+n <= mostSpare {
		s.free = append(s.free, a)
		s.bytes += n
	}
}

// maxSpare is the longest line whose memory is kept.
const maxSpare = 16 << 10

// blank is an alert to be filled in, with room for its line.
func blank() *Alert {
	a := spare.pop()
	if a == nil {
		return &Alert{recycled: true}
	}
	*a = Alert{recycled: true, Line: a.Line[:0]}
	return a
}

// Share says how many receivers the alert goes to. Each calls Release when it
// will not look at the alert again; one that does not leaves it to the garbage
// collector.
func (a *Alert) Share(receivers int) { a.holders = int32(receivers) }

// Release gives a receiver's share back. After the last one, the alert becomes
// another.
func (a *Alert) Release() {
	if !a.recycled && !event.Invariants || atomic.AddInt32(&a.holders, -1) != 0 {
		return
	}
	reuse := a.recycled && !event.Invariants && cap(a.Line) <= maxSpare
	a.overwrite()
	if reuse {
		spare.push(a)
	}
}
