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
