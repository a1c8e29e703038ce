package pace

import (
	"testing"
	"time"
)

func TestSleepUntil(t *testing.T) {
	done := make(chan time.Duration)
	go func() {
		start := NewStart()
		clock := NewClock(start)
		at := start.Elapsed() + 3*time.Millisecond
		for start.Elapsed() < at {
			clock.SleepUntil(at)
		}
		allocs := testing.AllocsPerRun(10, func() { clock.SleepUntil(start.Elapsed()) })
		if allocs != 0 {
			t.Errorf("a sleep allocates %v times", allocs)
		}
		done <- start.Elapsed() - at
	}()
	if over := <-done; over < 0 {
		t.Errorf("woke %v too early", -over)
	}
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
