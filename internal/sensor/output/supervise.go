package output

import (
	"context"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// tellEvery is the least time between two log messages about the same trouble
// of one channel.
const tellEvery = 30 * time.Second

// health is the supervisor's record of a channel.
type health struct {
	overflow uint64 // told so far
	toldAt   time.Time
	finished uint64 // sent or dropped, when last seen
	movedAt  time.Time
	stalled  bool
}

// watch starts to tell about queues that overflow and receivers that take
// nothing. It looks on from outside, since a worker cannot while a write
// blocks it.
func (l *ledger) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	l.watching.Go(func() {
		seen := map[string]*health{}
		_ = wait.Every(ctx, time.Second, func(now time.Time) error { // it never fails
			left := 0 // channels whose receiver is there or may come back
			for _, c := range l.stats() {
				if c.Capacity > 0 && !c.Gone {
					left++
				}
				if seen[c.Name] == nil {
					seen[c.Name] = &health{movedAt: now}
				}
				l.look(c, seen[c.Name], now)
			}
			if left == 0 && l.allGone != nil {
				l.allGone()
			}
			return nil
		})
	})
}

func (l *ledger) look(c metrics.Channel, h *health, now time.Time) {
	l.mu.Lock()
	timeout := l.timeout
	l.mu.Unlock()
	if c.Overflow > h.overflow && now.Sub(h.toldAt) >= tellEvery {
		l.log.Warn("output: queue is full, alerts are dropped for this channel", "channel", c.Name,
			"dropped", c.Overflow-h.overflow, "dropped_total", c.Overflow, "capacity", c.Capacity)
		h.overflow, h.toldAt = c.Overflow, now
	}
	if finished := c.Sent + c.Dropped; finished != h.finished || c.Queued == 0 || c.Idle {
		h.finished, h.movedAt, h.stalled = finished, now, false
		return
	}
	if !h.stalled && now.Sub(h.movedAt) >= timeout {
		h.stalled = true
		l.log.Error("output: the receiver accepts no alerts; the other channels continue", "channel", c.Name,
			"output_timeout", timeout, "waiting", c.Queued)
	}
}
