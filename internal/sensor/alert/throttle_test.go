package alert

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

const second = int64(time.Second)

// pass returns how many of n alerts at time now get through.
func pass(t *Throttle, n int, now int64) int {
	passed := 0
	for range n {
		if t.Allow(now) {
			passed++
		}
	}
	return passed
}

func TestThrottle(t *testing.T) {
	b := NewThrottle(2, 5)
	steps := []struct {
		at   float64 // s
		n    int
		want int
	}{
		{0, 10, 5},   // the whole burst
		{0, 3, 0},    // empty
		{0.25, 1, 0}, // half a token
		{0.5, 3, 1},
		{2, 10, 3},
		{1, 10, 0},    // the clock went back
		{2.5, 10, 1},  // and the time between does not count twice
		{1000, 10, 5}, // never more than the burst
	}
	sent, passed := 0, 0
	for _, s := range steps {
		got := pass(b, s.n, int64(s.at*1e9))
		if got != s.want {
			t.Errorf("at %gs: %d of %d pass, want %d", s.at, got, s.n, s.want)
		}
		sent, passed = sent+s.n, passed+got
	}
	if int(b.Held()) != sent-passed {
		t.Errorf("held %d, want %d", b.Held(), sent-passed)
	}
}

// The relaxed limits of the published performance test hold nothing back.
func TestThrottleRelaxed(t *testing.T) {
	for _, b := range []*Throttle{NewThrottle(1e9, 1e9), NewThrottle(0, 1000)} {
		if got := pass(b, 100_000, 7); got != 100_000 {
			t.Errorf("%d of 100000 pass", got)
		}
	}
}

// TestThrottleReport shows a row of docs/compatibility.md.
func TestThrottleReport(t *testing.T) {
	b := NewThrottle(1, 1)
	report := func(now int64, wantN uint64, wantOK bool) {
		t.Helper()
		if n, ok := b.Report(now); n != wantN || ok != wantOK {
			t.Errorf("at %d ns: report %d %v, want %d %v", now, n, ok, wantN, wantOK)
		}
	}
	b.Allow(0)
	report(0, 0, false) // nothing held back, nothing to say
	pass(b, 3, 1)
	report(1, 3, true)
	pass(b, 4, 2)
	report(2, 0, false) // said something within this second
	report(1+second, 4, true)
	report(1+3*second, 0, false)
}

// In any window the bucket lets through at most burst + rate*window.
func TestThrottleBound(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		rate := rapid.Float64Range(0.01, 1e6).Draw(r, "rate")
		burst := rapid.Float64Range(1, 1e4).Draw(r, "burst")
		b := NewThrottle(rate, burst)
		now, passed := int64(0), 0
		for range rapid.IntRange(1, 200).Draw(r, "alerts") {
			now += rapid.Int64Range(0, second).Draw(r, "gap")
			if b.Allow(now) {
				passed++
			}
		}
		if limit := burst + rate*float64(now)/1e9 + 1e-6; float64(passed) > limit {
			r.Errorf("%d passed, limit %g", passed, limit)
		}
	})
}

func TestThrottleDoesNotAllocate(t *testing.T) {
	b := NewThrottle(1, 1)
	now := int64(0)
	if n := testing.AllocsPerRun(100, func() { now++; b.Allow(now); b.Report(now) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
}
