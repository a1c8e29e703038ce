package output

import (
	"context"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
)

// tellEvery is the least time between two log messages about the same trouble
// of one channel.
const tellEvery = 30 * time.Second

// health is what the supervisor remembers about a channel.
type health struct {
	overflow uint64 // told so far
	toldAt   time.Time
	finished uint64 // sent or dropped, when last seen
	movedAt  time.Time
	stalled  bool
}

// supervise tells about queues that overflow and receivers that take nothing.
// It looks on from outside, since a worker cannot while a write blocks it.
func (s *Set) supervise(ctx context.Context) {
	seen := map[string]*health{}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, e := range *s.channels.Load() {
				c := e.stats()
				h := seen[c.Name]
				if h == nil || c.Overflow < h.overflow { // replaced: counts began anew
					h = &health{movedAt: now}
					seen[c.Name] = h
				}
				s.look(c, h, now, e.timeout())
			}
		}
	}
}

func (s *Set) look(c metrics.Channel, h *health, now time.Time, timeout time.Duration) {
	if c.Overflow > h.overflow && now.Sub(h.toldAt) >= tellEvery {
		s.opt.Log.Warn("output: queue is full, alerts are dropped for this channel", "channel", c.Name,
			"dropped", c.Overflow-h.overflow, "dropped_total", c.Overflow, "capacity", c.Capacity)
		h.overflow, h.toldAt = c.Overflow, now
	}
	if finished := c.Sent + c.Dropped; finished != h.finished || c.Queued == 0 || c.Idle {
		h.finished, h.movedAt, h.stalled = finished, now, false
		return
	}
	if !h.stalled && now.Sub(h.movedAt) >= timeout {
		h.stalled = true
		s.opt.Log.Error("output: the receiver takes no alerts; the other channels go on", "channel", c.Name,
			"output_timeout", timeout, "waiting", c.Queued)
	}
}
