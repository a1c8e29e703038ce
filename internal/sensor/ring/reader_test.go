package ring

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// late is a clock far behind which everything is old.
func late() uint64 { return 1 << 60 }

func drain(r *Reader) []string {
	var out []string
	for {
		e, ok := r.Next()
		if !ok {
			return out
		}
		out = append(out, text(e))
	}
}

func wantEvents(t *testing.T, r *Reader, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, drain(r)); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
}

func TestMergeByTime(t *testing.T) {
	f := []*fake{newFake(t, page), newFake(t, page), newFake(t, page)}
	r := newReader(buffers(f), late)
	f[0].put(10, "a10")
	f[0].put(40, "a40")
	f[1].put(20, "b20")
	f[1].put(30, "b30")
	f[2].put(5, "c5")
	wantEvents(t, r, "c5", "a10", "b20", "b30", "a40")
	f[1].put(50, "b50")
	f[2].put(45, "c45")
	wantEvents(t, r, "c45", "b50")
	wantEvents(t, r)
}

func TestDiscardedAndBusy(t *testing.T) {
	f := newFake(t, page)
	r := newReader([]*buffer{f.buffer}, late)
	at, _ := f.reserve(16)
	f.discard(at, 16)
	f.put(1, "one")
	p := event(2, "two")
	at, _ = f.reserve(len(p))
	f.put(3, "three")
	wantEvents(t, r, "one") // records behind an unfinished one wait for it
	wantEvents(t, r)
	f.commit(at, p)
	wantEvents(t, r, "two", "three")
	if f.consumer.Load() != f.head {
		t.Errorf("consumer at %d, producer at %d", f.consumer.Load(), f.head)
	}
}

// An event on its way into another ring may be older than those that have
// arrived: young events wait for it, but no longer than the window.
func TestWindow(t *testing.T) {
	f := []*fake{newFake(t, page), newFake(t, page)}
	clock := uint64(time.Second)
	r := newReader(buffers(f), func() uint64 { return clock })
	f[0].put(clock-uint64(window)-1, "old")
	f[0].put(clock-10, "young")
	wantEvents(t, r, "old")
	f[1].put(clock-20, "older, but late")
	wantEvents(t, r)
	clock += uint64(window)
	wantEvents(t, r, "older, but late", "young")
}

// One ring has its own order, and nothing to wait for.
func TestOneRingNoWindow(t *testing.T) {
	f := newFake(t, page)
	r := newReader([]*buffer{f.buffer}, func() uint64 { return 0 })
	f.put(1<<50, "from the future")
	f.put(1<<50-1, "a little older")
	wantEvents(t, r, "from the future", "a little older")
}

// A returned event is not given back before the following call.
func TestBorrowed(t *testing.T) {
	f := newFake(t, page)
	r := newReader([]*buffer{f.buffer}, late)
	for i := range 20 {
		f.put(uint64(i), fmt.Sprint(i))
	}
	for {
		before := f.consumer.Load()
		e, ok := r.Next()
		if !ok {
			break
		}
		_ = e
		if f.consumer.Load() > before && f.consumer.Load() > r.rings[0].next-uint64(len(e)+headerSize+7)&^7 {
			t.Fatalf("position %d was given back while %q is borrowed", f.consumer.Load(), text(e))
		}
	}
}

// Random events on random rings, of which some are full at times: everything
// that went in comes out, in order of time, and nothing else.
func TestRandom(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var f []*fake
		for range 1 + rng.IntN(5) {
			f = append(f, newFake(t, page))
		}
		r := newReader(buffers(f), late)
		var in, out []string
		clock := uint64(1000)
		for range 3000 {
			clock++
			text := fmt.Sprintf("%d %s", clock, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"[:rng.IntN(30)])
			if f[rng.IntN(len(f))].put(clock, text) {
				in = append(in, text)
			}
			if rng.IntN(100) == 0 {
				out = append(out, drain(r)...)
			}
		}
		out = append(out, drain(r)...)
		if !slices.Equal(in, out) {
			t.Fatalf("seed %d: %d events in, %d out, or in another order", seed, len(in), len(out))
		}
	}
}

func TestNoAllocations(t *testing.T) {
	f := []*fake{newFake(t, 1<<20), newFake(t, 1<<20)}
	r := newReader(buffers(f), late)
	n := uint64(0)
	allocs := testing.AllocsPerRun(100, func() {
		for range 100 {
			n++
			f[n%2].put(n, "")
		}
		for {
			if _, ok := r.Next(); !ok {
				return
			}
		}
	})
	if allocs > 100 { // put allocates the payload, Next nothing
		t.Errorf("%v allocations for 100 events", allocs)
	}
}

// Positions and headers of a broken ring are an end, not a crash.
func FuzzBuffer(f *testing.F) {
	f.Add([]byte{3, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c'}, uint64(0), uint64(16))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, uint64(8), uint64(1<<40))
	f.Add([]byte("\xff\xff\x95\x95\x95"), uint64(8), uint64(1<<40-10))
	f.Add([]byte{16, 0, 0, 0x40, 0, 0, 0, 0}, uint64(4088), uint64(8192))
	ring := newFake(f, page)
	f.Fuzz(func(t *testing.T, data []byte, consumer, producer uint64) {
		clear(ring.data[:page])
		copy(ring.data[:page], data)
		ring.consumer.Store(consumer &^ 7)
		ring.producer.Store(producer &^ 7)
		r := newReader([]*buffer{newBuffer(ring.consumer, ring.producer, ring.data[:len(ring.data)/2])}, late)
		for range 2 * page {
			e, ok := r.Next()
			if !ok {
				return
			}
			if len(e) < 8 {
				t.Fatalf("event of %d bytes", len(e))
			}
		}
	})
}

func TestBackoff(t *testing.T) {
	b := newBackoff()
	for range 20 {
		b.next()
	}
	if b.pause != maxPause {
		t.Errorf("idle: %v", b.pause)
	}
	for range 3 {
		b.events = 1000
		b.next()
	}
	if b.pause != minPause {
		t.Errorf("busy: %v", b.pause)
	}
	b.events = busyEvents / 2
	if p := b.pause; b.next() != p {
		t.Error("in between: the pause changed")
	}
}

// Bursts with a gap of a pause or two between them are load, not quiet: a
// wake-up for each would cost several times as much as polling. Events far
// apart are quiet.
func TestBackoffQuiet(t *testing.T) {
	for _, tt := range []struct {
		burst, gap int // events; pauses from one burst to the next
		quiet      bool
	}{{20, 2, false}, {1, 1, false}, {1, 3, false}, {0, 1, true}, {1, 10, true}, {20, 10, true}} {
		b, quiet := newBackoff(), false
		for i := range 100 {
			if i%tt.gap == 0 {
				b.events = tt.burst
			}
			quiet = quiet || b.quiet()
			b.next()
		}
		if quiet != tt.quiet {
			t.Errorf("%d events every %d pauses: quiet %v", tt.burst, tt.gap, quiet)
		}
	}
}

// Before a reader waits for the next event, it asks to be woken, and looks once
// more: an event of a program that was not asked is there by then, or being
// written.
func TestAwaitLooksOnceMore(t *testing.T) {
	f := newFake(t, page)
	r := newReader(buffers([]*fake{f}), late)
	if err := r.watch(nil); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f.put(1, "taken")
	if _, ok := r.Next(); !ok {
		t.Fatal("no event")
	}
	if _, ok := r.Next(); ok || r.unread() {
		t.Fatal("there is more than one event")
	}
	at, _ := f.reserve(16)
	r.await(time.Hour) // being written
	f.commit(at, event(2, "late"))
	r.await(time.Hour)
	if got, ok := r.Next(); !ok || text(got) != "late" || r.waits.Load() != 0 {
		t.Errorf("%q, waits %d", got, r.waits.Load())
	}
	if _, ok := r.Next(); ok {
		t.Error("there is more")
	}
	go func() {
		for r.waits.Load() == 0 {
			runtime.Gosched()
		}
		f.put(3, "") // as the wake-up, of no real ring
		r.Wake()
	}()
	r.await(time.Hour)
	if !r.unread() {
		t.Error("it was not woken by the event")
	}
}

// A reader that waits for the next event goes on when it is woken; the wake-up
// may also come first, or when the reader is gone.
func TestWake(t *testing.T) {
	r := newReader(nil, late)
	if err := r.watch(nil); err != nil {
		t.Fatal(err)
	}
	for !r.backoff.quiet() {
		r.Wait(time.Nanosecond)
	}
	r.Wake()
	r.Wait(time.Hour)
	waiting := make(chan bool)
	go func() {
		r.Wait(time.Hour)
		close(waiting)
	}()
	r.Wake()
	<-waiting
	r.Wake()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.Wake()
}
