package ring

import "time"

// Pauses between two looks at the rings.
const (
	minPause = 400 * time.Microsecond
	maxPause = 1 * time.Millisecond
	// Events in a pause: at this many it becomes shorter, below a quarter of
	// them longer. A ring of 8 MiB holds some 30,000.
	busyEvents = 64
)

// While little happens, the reader does not look at all, but has the kernel
// wake it at the next event: sooner than a pause, and for less.
const quietEvents = 1 // in the longest pause

// backoff decides how long to pause from how many events the last pause
// brought.
type backoff struct {
	events int
	pause  time.Duration
}

func newBackoff() backoff { return backoff{pause: minPause} }

// quiet says that it is better to be woken by the next event.
func (b *backoff) quiet() bool { return b.pause == maxPause && b.events <= quietEvents }

// cut says that the pause was cut short: few events do not mean that it is
// quiet.
func (b *backoff) cut() { b.events = quietEvents + 1 }

func (b *backoff) next() time.Duration {
	switch {
	case b.events >= busyEvents:
		b.pause = max(b.pause/4, minPause)
	case b.events < busyEvents/4:
		b.pause = min(b.pause*2, maxPause)
	}
	b.events = 0
	return b.pause
}
