package alert

import (
	"sync"
	"sync/atomic"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// spare are alerts of LineOnly formatters that nobody holds any more. Making
// every one anew costs more in collecting than in making: the sensor's heap is
// a few MiB, which 100,000 alerts a second fill 50 times.
var spare = sync.Pool{New: func() any { return &Alert{} }}

// maxSpare is the longest line whose memory is kept.
const maxSpare = 16 << 10

// blank is an alert to be filled in, with room for its line.
func blank() *Alert {
	a := spare.Get().(*Alert)
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
		spare.Put(a)
	}
}
