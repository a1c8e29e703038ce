package recording

import (
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// until waits for the goroutine that writes.
func (b *bench) until(reached func(Stats) bool) {
	b.t.Helper()
	for !reached(b.Stats()) {
		if err := wait.For(b.t.Context(), time.Millisecond); err != nil {
			b.t.Fatalf("%v; %+v\n%s", err, b.Stats(), b.log.String())
		}
	}
}

// live makes the recorder that of a live sensor, which waits for nothing.
func (b *bench) live() { b.o.Proc = b.t.TempDir() }

// While no file can be written, an alert costs nothing but a number.
func TestAlertsWhilePaused(t *testing.T) {
	b, l := newBench(t), limits(t)
	b.live()
	l.Prefix += "/missing/x"
	b.run()
	b.alert(l)
	b.until(func(s Stats) bool { return s.Errors == 1 })
	b.write(10)
	if n := testing.AllocsPerRun(100, func() { b.alert(l) }); n != 0 {
		t.Errorf("%v allocations for an alert", n)
	}
	b.close()
	if s := b.Stats(); s != (Stats{Errors: 102}) {
		t.Errorf("%+v", s)
	}
}

// No second opening, which takes memory of its own, waits to be written.
func TestOpeningWaits(t *testing.T) {
	b, l := newBench(t), limits(t)
	b.live()
	for range 3 {
		b.alert(l)
		b.write(10)
		b.now += 2_000_000_000
	}
	b.run()
	b.until(func(s Stats) bool { return s.Events == 1 })
	b.alert(l)
	b.write(10)
	b.close()
	if s := b.Stats(); s != (Stats{Files: 2, Events: 2, Errors: 2}) {
		t.Errorf("%+v", s)
	}
}

// The engine may be behind the clock by any time: its recording goes on by the
// times of events.
func TestEngineBehind(t *testing.T) {
	b, l := newBench(t), limits(t)
	b.live()
	b.run()
	b.alert(l)
	for n := range uint64(3) {
		b.write(10)
		b.until(func(s Stats) bool { return s.Events == n+1 })
		b.alert(l)
	}
	b.close()
	if s := b.Stats(); s != (Stats{Files: 1, Events: 3}) {
		t.Errorf("%+v", s)
	}
}

// A recording ends by the clock when no event comes, some time later than
// events may come.
func TestIdle(t *testing.T) {
	b, l := newBench(t), limits(t)
	b.run()
	for range 2 {
		b.alert(l)
		b.write(10)
		b.Idle(b.now + 1_900_000_000)
		b.write(10)
		b.Idle(b.now + 2_100_000_000)
		b.write(10)
	}
	b.close()
	if s := b.Stats(); s != (Stats{Files: 2, Events: 4}) {
		t.Errorf("%+v", s)
	}
}

// How long a recording takes does not depend on the time of day.
func TestDurationDespiteSetClock(t *testing.T) {
	const day = 24 * time.Hour
	for _, step := range []time.Duration{-time.Hour, time.Hour} {
		b, l := newBench(t), limits(t)
		b.run()
		b.engine.SetClock(uint64(day))
		b.alert(l)
		b.write(10)
		b.engine.SetClock(uint64(day + step))
		b.alert(l)
		b.write(10)
		b.now += 1_100_000_000
		b.write(10)
		b.close()
		if s := b.Stats(); s != (Stats{Files: 1, Events: 2}) {
			t.Errorf("%v: %+v", step, s)
		}
	}
}

// Each event that was recorded is in the file or counted as missed, wherever
// the file ends: within a piece or with its last.
func TestFileFull(t *testing.T) {
	limited := 0
	for n := 110; n < 150; n += 3 {
		b, l := newBench(t), limits(t)
		l.FileSize, l.Buffer = 1<<20, 4<<20
		b.alert(l)
		for range n {
			b.write(8000)
		}
		b.run()
		b.close()
		_, w := content(t, files(t, l)[0])
		s := b.Stats()
		if s.Events != uint64(w) || s.Events+s.Missed != uint64(n) || s.Limited != uint64(len(b.full)) || (s.Missed > 0) != (s.Limited == 1) {
			t.Errorf("%d of %d events in the file: %+v, limited %q", w, n, s, b.full)
		}
		limited += len(b.full)
	}
	if limited == 0 || limited == 14 {
		t.Errorf("%d files have reached their size", limited)
	}
}

// The start of a pid namespace, which the probe dates by the time of day at
// which it was loaded, is recorded by that at the start of the recording.
func TestStartOfNamespaceDespiteSetClock(t *testing.T) {
	const boot = 1_000_000 * time.Second
	slot := event.KindProcfork.Info().Slot
	for _, step := range []time.Duration{0, -time.Hour, time.Hour} {
		b, l := newBench(t), limits(t)
		b.run()
		b.engine.SetClock(uint64(boot))
		b.engine.SetClock(uint64(boot + step))
		b.alert(l)
		b.now += 1000
		b.build.Start(event.KindProcfork, event.Header{Time: b.now, PID: 7, TID: 7, Start: 5})
		for name, n := range map[string]uint64{"child": 99, "ppid": 7, "vpid": 1, "vtid": 1, "start": b.now, "pidns_init_start_ts": start} {
			b.build.Uint(slot(name), n)
		}
		b.engine.Handle(b.build.Finish())
		b.write(10)
		b.close()
		r, err := capture.Open(files(t, l)[0])
		if err != nil {
			t.Fatal(err)
		}
		forks := 0
		var v event.View
		for raw, err := r.Next(); err == nil; raw, err = r.Next() {
			if err := v.Reset(raw); err != nil {
				t.Fatal(err)
			}
			if v.Kind() != event.KindProcfork {
				continue
			}
			forks++
			if got, want := v.Uint(slot("pidns_init_start_ts")), start+uint64(step); got != want {
				t.Errorf("%v: %d, want %d", step, got, want)
			}
			if got, want := v.Uint(slot("start")), v.Header().Time; got != want {
				t.Errorf("%v: the process started at %d, want %d", step, got, want)
			}
		}
		r.Close()
		if forks != 1 {
			t.Errorf("%d forks", forks)
		}
	}
}
