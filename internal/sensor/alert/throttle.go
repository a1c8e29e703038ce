package alert

import (
	"sync/atomic"
	"time"
)

// Throttle is a token bucket over alerts: rate tokens a second, at most burst
// of them saved up, one for each alert that passes. Suppressed alerts are
// counted: Report returns their number, at most once a second.
//
// Time is the caller's, in ns on a monotonic clock, not the time of day; steps
// back count as no time. Allow belongs to the detection goroutine, Report to
// another one; Held may be called from any.
type Throttle struct {
	rate   float64 // tokens a ns; 0: no limit
	burst  float64
	tokens float64
	last   int64 // ns of the last refill
	begun  bool

	held     atomic.Uint64 // since the start
	reported uint64        // part of held that Report has returned
	reportAt int64
}

// reportEvery is the least time between two reports, in ns.
const reportEvery = int64(time.Second)

// NewThrottle returns a full bucket. rate is in alerts a second, 0 for no
// limit; a burst below one is one, since nothing could ever pass.
func NewThrottle(rate, burst float64) *Throttle {
	t := &Throttle{}
	t.Limit(rate, burst)
	return t
}

// Limit changes the limits. The bucket is full then if they differ from those
// before; the counts go on. It belongs to Allow's goroutine.
func (t *Throttle) Limit(rate, burst float64) {
	rate, burst = rate/float64(time.Second), max(burst, 1)
	if rate != t.rate || burst != t.burst {
		t.rate, t.burst, t.tokens = rate, burst, burst
	}
}

// Allow says whether an alert may pass at time now.
func (t *Throttle) Allow(now int64) bool {
	if t.rate == 0 {
		return true
	}
	t.refill(now)
	if t.tokens < 1 {
		t.held.Add(1)
		return false
	}
	t.tokens--
	return true
}

func (t *Throttle) refill(now int64) {
	if !t.begun {
		t.begun, t.last = true, now
		return
	}
	if now > t.last {
		t.tokens = min(t.burst, t.tokens+float64(now-t.last)*t.rate)
		t.last = now
	}
}

// Held is the number of alerts held back since the start.
func (t *Throttle) Held() uint64 { return t.held.Load() }

// Report returns how many alerts were held back since the last report, and
// whether it is time to say so.
func (t *Throttle) Report(now int64) (uint64, bool) {
	held := t.held.Load()
	if held == t.reported || t.reportAt != 0 && now-t.reportAt < reportEvery && now >= t.reportAt {
		return 0, false
	}
	n := held - t.reported
	t.reported, t.reportAt = held, now
	return n, true
}
