package engine

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// someTime is a machine's start, in ns since the epoch.
const someTime = uint64(1_800_000_000e9)

// An event waits for metadata as long as it may, however far the time of day
// is set meanwhile, and does not wait again after that.
func TestWaitDespiteSetClock(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, time.Hour} {
		l := newLate(t, lateList(t), false, alert.Options{})
		m := machine{time: uint64(time.Hour)}
		l.SetClock(someTime)
		l.Handle(m.spawn(5, 1, "sh"))
		l.Handle(m.open(5, "/x", "", rdonly, 3))
		due := m.time + uint64(time.Second)
		l.SetClock(someTime + uint64(step))
		l.settle(due - 1)
		if len(l.got) != 0 {
			t.Errorf("%v: decided too early: %q", step, l.got)
		}
		l.settle(due)
		m.time = due
		l.Handle(m.open(5, "/x", "", rdonly, 3))
		if len(l.got) != 2 || l.untilDue() != math.MaxInt64 {
			t.Errorf("%v: alerts %q", step, l.got)
		}
	}
}

// How old a process is does not depend on the time of day, when it was started
// does.
func TestAgeDespiteSetClock(t *testing.T) {
	list := load(t, []rules.Source{{Name: "age.yaml", Content: []byte(`
- rule: Age
  desc: d
  condition: evt.type=openat and proc.duration > 0
  output: "%proc.duration %proc.pid.ts"
  priority: INFO
`)}})
	for _, step := range []time.Duration{-time.Hour, time.Hour, 50 * 365 * 24 * time.Hour} {
		l := newLate(t, list, false, alert.Options{})
		m := machine{time: uint64(time.Minute)}
		l.SetClock(someTime)
		slot := event.KindExecve.Info().Slot
		m.b.Start(event.KindExecve, m.header(5, "execve"))
		m.b.Uint(slot("start"), uint64(time.Second))
		l.Handle(slices.Clone(m.b.Finish()))
		l.Handle(m.open(5, "/x", "", rdonly, 3))
		first := m.time - uint64(time.Second)
		l.SetClock(someTime + uint64(step))
		l.Handle(m.open(5, "/x", "", rdonly, 3))
		started := someTime + uint64(time.Second)
		want := []string{fmt.Sprintf("Age: %d %d", first, started), fmt.Sprintf("Age: %d %d", first+1000, started+uint64(step))}
		if !slices.Equal(l.got, want) {
			t.Errorf("%v: %q, want %q", step, l.got, want)
		}
	}
}
