package pace

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A long sleep gives the thread's place away, a short one does not.
func TestSleepUntil(t *testing.T) {
	for _, length := range []time.Duration{short / 4, short, 3 * short} {
		done := make(chan time.Duration)
		go func() {
			start := NewStart()
			clock := NewClock(start)
			now := start.Elapsed()
			at := now + length
			for ; now < at; now = start.Elapsed() {
				clock.SleepUntil(now, at)
			}
			allocs := testing.AllocsPerRun(10, func() { clock.SleepUntil(now, now+length/10) })
			if allocs != 0 {
				t.Errorf("a sleep of %v allocates %v times", length, allocs)
			}
			done <- now - at
		}()
		if over := <-done; over < 0 {
			t.Errorf("a sleep of %v ended %v too early", length, -over)
		}
	}
}

// Short sleeps one after the other, on every place there is, do not keep the
// runtime from stopping all threads for a collection.
func TestShortSleepsLetTheRuntimeStop(t *testing.T) {
	var stop atomic.Bool
	var sleepers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		sleepers.Go(func() {
			start := NewStart()
			clock := NewClock(start)
			for !stop.Load() {
				now := start.Elapsed()
				clock.SleepUntil(now, now+short)
			}
		})
	}
	for range 10 {
		runtime.GC()
	}
	stop.Store(true)
	sleepers.Wait()
}

func TestStartStep(t *testing.T) {
	if step := NewStart().Step(); step.Abs() > time.Second {
		t.Errorf("a clock that nobody set stepped by %v", step)
	}
}

func TestRecordClamps(t *testing.T) {
	h := NewHistogram()
	for _, d := range []time.Duration{-1, 0, time.Microsecond, time.Hour} {
		Record(h, d)
	}
	if h.TotalCount() != 4 || h.Min() != 0 {
		t.Errorf("recorded %d of 4, minimum %d", h.TotalCount(), h.Min())
	}
}

// A thread that loses its CPU between two looks at the clocks does not make the
// wall clock jump.
func TestClosest(t *testing.T) {
	wall := time.Unix(1000, 0)
	readings := []reading{
		{before: 0, after: 50e6, wall: wall.Add(45 * time.Millisecond)},
		{before: 100e6, after: 100e6 + 200, wall: wall.Add(100*time.Millisecond + 100)},
		{before: 200e6, after: 230e6, wall: wall.Add(200 * time.Millisecond)},
	}
	n := 0
	best := closest(func() reading { n++; return readings[n%len(readings)] })
	if offset := best.wall.UnixNano() - best.other(); offset != wall.UnixNano() {
		t.Errorf("offset %v, want %v", offset, wall.UnixNano())
	}
}
