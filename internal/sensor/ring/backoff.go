package ring

import "time"

// Pauses between two looks at the rings.
const (
	minPause = 400 * time.Microsecond
	maxPause = 700 * time.Microsecond // an alert is to leave within a millisecond
	// Events in a pause: at this many it becomes shorter, below a quarter of
	// them longer. A ring of 8 MiB holds some 30,000.
	busyEvents = 64
)

// quietPauses is the number of longest pauses without an event after which the
// reader stops polling and has the kernel wake it at the next event. A wake-up
// costs as much CPU as about eight pauses: it pays on a quiet machine, not in
// the gaps between bursts.
const quietPauses = 6

// backoff decides how long to pause from how many events the last pause
// brought.
type backoff struct {
	events int // since the last pause
	empty  int // of the longest pauses, in a row
	pause  time.Duration
}

func newBackoff() backoff { return backoff{pause: minPause} }

// quiet says that it is better to be woken by the next event.
func (b *backoff) quiet() bool { return b.empty >= quietPauses && b.events == 0 }

func (b *backoff) next() time.Duration {
	switch {
	case b.events >= busyEvents:
		b.pause = max(b.pause/4, minPause)
	case b.events < busyEvents/4:
		b.pause = min(b.pause*2, maxPause)
	}
	if b.events == 0 && b.pause == maxPause {
		b.empty++
	} else {
		b.empty = 0
	}
	b.events = 0
	return b.pause
}
