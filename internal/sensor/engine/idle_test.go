package engine

import (
	"context"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/boottime"
	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// silence is a source without events, and a recorder that ignores all events.
type silence struct {
	woken chan struct{}
	idle  chan uint64
}

func (silence) Next() ([]byte, bool) { return nil, false }
func (q silence) Wait(d time.Duration) {
	select {
	case <-q.woken:
	case <-time.After(d):
	}
}
func (q silence) Wake()                                   { q.woken <- struct{}{} }
func (silence) Event(*event.View, *state.Process, uint64) {}
func (silence) Postponed(*state.Process)                  {}
func (q silence) Idle(now uint64) {
	select {
	case q.idle <- now:
	default: // one is enough
	}
}

// A recorder gets the time also when there are no events.
func TestIdle(t *testing.T) {
	l := newLate(t, nil, false, alert.Options{})
	q := silence{woken: make(chan struct{}, 1), idle: make(chan uint64, 1)}
	l.Record(q)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	before := uint64(boottime.Now())
	go func() {
		defer close(done)
		l.Run(ctx, q)
	}()
	if now := <-q.idle; now < before || now > uint64(boottime.Now()) {
		t.Errorf("idle at %d, after %d", now, before)
	}
	cancel()
	<-done
}
