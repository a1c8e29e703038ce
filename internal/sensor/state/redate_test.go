package state

import (
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// When the time of day has been set, a container is as old for processes that
// are made after that as for those of before: the probe dates its start by the
// time of day at which it was loaded.
func TestForkAfterRedate(t *testing.T) {
	const started = epochAtBoot + 7
	for _, step := range []time.Duration{-time.Hour, time.Hour} {
		w := newWorld(t, Options{})
		w.start(5, 1, "sh")
		fork := func(child int32) *Process {
			raw := w.forkRaw(5, child)
			w.b.Uint(event.ProcforkPidnsInitStartTs, started)
			w.apply(raw)
			return w.table.Get(child)
		}
		before := fork(6)
		w.table.Redate(step)
		after := fork(7)
		if want := started + uint64(step); before.PIDNSStart != want || after.PIDNSStart != want {
			t.Errorf("%v: %d and %d, want %d", step, before.PIDNSStart, after.PIDNSStart, want)
		}
	}
}
