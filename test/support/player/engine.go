package player

import (
	"time"
)

// eventsPerAlert is how many events Falco counts for one action that raises an
// alert: the open that matches, and the close after it.
const eventsPerAlert = 2

// ringAlerts is how many alerts' events wait in the ring before the kernel
// drops one: 8 MB at some 500 bytes for an open and a close with their paths.
const ringAlerts = 16_000

// engine is the throughput of a Falco: one consumer with a steady rate behind
// a ring. It is pure; time is passed in.
type engine struct {
	rate    float64 // alerts per second
	free    time.Time
	events  uint64 // seen by the driver, those dropped included
	drops   uint64
	handled uint64 // alerts
}

// offer takes one event that a rule matches. The alert leaves at the time
// returned; ok is false if the ring is full.
func (e *engine) offer(now time.Time) (leaves time.Time, ok bool) {
	e.events += eventsPerAlert
	cost := time.Duration(float64(time.Second) / e.rate)
	if e.free.Before(now) {
		e.free = now
	}
	if e.free.Sub(now) > ringAlerts*cost {
		e.drops += eventsPerAlert
		return now, false
	}
	e.free = e.free.Add(cost)
	e.handled++
	return e.free, true
}
