package ring

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	sensorevent "github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
	"github.com/peregrine-sec/peregrine/test/support/corpus"
)

// stalled is a record that its producer has begun and not finished.
type stalled struct {
	ring  *fake
	at    uint64 // in the ring
	until uint64 // by the clock
	event []byte
}

// Producers on many rings stall in the middle of an event, for less than the
// window: the merged order is that of a sort by time, and an event stays as it
// was handed out while others are written.
func TestManyRings(t *testing.T) {
	for _, rings := range []int{64, 128, 512} {
		t.Run(fmt.Sprint(rings), func(t *testing.T) {
			var f []*fake
			for range rings {
				f = append(f, newFake(t, page))
			}
			for seed := range uint64(5) {
				mergeStalled(t, f, rand.New(rand.NewPCG(seed, uint64(rings))))
			}
		})
	}
}

func mergeStalled(t *testing.T, f []*fake, rng *rand.Rand) {
	clock := uint64(1 << 30)
	r := newReader(buffers(f), func() uint64 { return clock })
	var in, out []uint64
	var open []stalled
	finish := func(late bool) {
		open = slices.DeleteFunc(open, func(s stalled) bool {
			if !late && s.until > clock {
				return false
			}
			s.ring.commit(s.at, s.event)
			return true
		})
	}
	produce := func() {
		clock += 1 + rng.Uint64N(uint64(window)/200)
		finish(false)
		e := anyEvent(clock, rng)
		ring := f[min(rng.IntN(len(f)), rng.IntN(len(f)))] // some are busier, some full
		if at, ok := ring.reserve(len(e)); ok {
			in = append(in, clock)
			open = append(open, stalled{ring, at, clock + rng.Uint64N(uint64(window)), e})
		}
	}
	take := func() {
		for {
			e, ok := r.Next()
			if !ok {
				return
			}
			was := bytes.Clone(e)
			for range rng.IntN(2) {
				produce()
			}
			if !bytes.Equal(was, e) {
				t.Fatalf("an event changed while it was borrowed: %x, then %x", was, e)
			}
			out = append(out, binary.NativeEndian.Uint64(e))
		}
	}
	for range 3000 {
		produce()
		if rng.IntN(200) == 0 {
			take()
		}
	}
	finish(true)
	clock += uint64(2 * window)
	for len(out) < len(in) {
		before := len(out)
		take()
		finish(true)
		if clock += uint64(2 * window); len(out) == before {
			break
		}
	}
	if !slices.Equal(in, out) { // produced by time
		t.Fatalf("%d events in, %d out, sorted: %v", len(in), len(out), slices.IsSorted(out))
	}
}

func anyEvent(time uint64, rng *rand.Rand) []byte {
	e := make([]byte, 8+rng.IntN(60))
	binary.NativeEndian.PutUint64(e, time)
	for i := 8; i < len(e); i++ {
		e[i] = byte(time)
	}
	return e
}

// inBatch is how many of two million events a second come in a window.
const inBatch = 400

// BenchmarkNext takes events that come from any ring in turn, in batches: the
// merge alone, and with the engine behind it, from bytes to the decision of the
// default rules that nothing matches.
func BenchmarkNext(b *testing.B) {
	for _, rings := range []int{1, 2, 16, 64, 128, 512} {
		var f []*fake
		for range rings {
			f = append(f, newFake(b, 1<<20))
		}
		events := dups(1000)
		for name, handle := range map[string]func([]byte){"merge": func([]byte) {}, "merge and engine": handler(b, events)} {
			b.Run(fmt.Sprintf("%s/%d", name, rings), func(b *testing.B) {
				r := newReader(buffers(f), late)
				rng := rand.New(rand.NewPCG(1, 2))
				for n := 0; b.Loop(); n++ {
					if n%inBatch == 0 {
						if _, ok := r.Next(); ok { // as the loop does, before it waits
							b.Fatal("more than was put in")
						}
						b.StopTimer()
						fill(f, events, n, rng)
						b.StartTimer()
					}
					e, ok := r.Next()
					if !ok {
						b.Fatal("an event is missing")
					}
					handle(e)
				}
				for ok := true; ok; { // for the next benchmark
					_, ok = r.Next()
				}
			})
		}
	}
}

func fill(f []*fake, events [][]byte, n int, rng *rand.Rand) {
	for i := range inBatch {
		e := events[rng.IntN(len(events))]
		binary.NativeEndian.PutUint64(e, uint64(n+i+1))
		ring := f[rng.IntN(len(f))]
		if at, ok := ring.reserve(len(e)); ok {
			ring.commit(at, e)
		}
	}
}

// dups are events of as many processes, which rules about containers ask for.
func dups(n int) (all [][]byte) {
	id, _ := sensorevent.SyscallByName("dup")
	for pid := range uint32(n) {
		var b sensorevent.Builder
		b.Start(sensorevent.KindDup, sensorevent.Header{Time: 1, TID: 1000 + pid, PID: 1000 + pid, PPID: 1, LoginUID: 0xffffffff, Syscall: uint16(id), Start: 1, VTID: 1000 + pid})
		all = append(all, slices.Clone(b.Finish()))
	}
	return all
}

// handler is an engine with the default rules that knows the processes.
func handler(b *testing.B, events [][]byte) func([]byte) {
	b.Helper()
	files, err := filepath.Glob("../../../rules/*.yaml")
	if err != nil || len(files) == 0 {
		b.Fatal("no default rules", err)
	}
	e := engine.New(engine.Options{
		Table: state.NewTable(state.Options{}), Rules: compile(b, corpus.RuleSet{Name: "default", Files: files})(false), Static: static,
		Emit: func(a *alert.Alert) { b.Errorf("alert of %s", a.Rule) },
	})
	for _, ev := range events {
		e.Handle(ev)
	}
	return e.Handle
}
