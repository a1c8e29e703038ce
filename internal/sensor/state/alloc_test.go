package state

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

func TestOrdinaryEventDoesNotAllocate(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "bash")
	w.start(11, 1, "cat")
	a := append([]byte(nil), w.callRaw(10)...)
	b := append([]byte(nil), w.callRaw(11)...)
	var v event.View
	if n := testing.AllocsPerRun(1000, func() {
		for _, raw := range [][]byte{a, b} {
			if err := v.Reset(raw); err != nil {
				t.Fatal(err)
			}
			w.table.Apply(&v, 1)
			w.table.Done(&v)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestForkExecExitDoesNotAllocate(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "bash")
	life := func() {
		w.fork(10, 11)
		w.exec(11, "/bin/true", "-x")
		w.exit(11, 1)
	}
	for range 2 * graves {
		life()
	}
	// The world's own header is one allocation, its list of arguments another.
	if n := testing.AllocsPerRun(1000, life); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

// A storm of processes that are all different must not fill the memory.
func TestMemoryIsFlat(t *testing.T) {
	w := newWorld(t, Options{})
	w.start(10, 1, "bash")
	storm := func(n, salt int) uint64 {
		for i := range n {
			w.fork(10, 11)
			w.exec(11, "/usr/bin/tool", fmt.Sprintf("--job=%d.%d", salt, i))
			w.exit(11, 1)
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	first := storm(50_000, 1)
	second := storm(50_000, 2)
	if second > first+1<<20 {
		t.Errorf("heap grows: %d, then %d bytes", first, second)
	}
	if w.table.in.size > internBytes {
		t.Errorf("interner holds %d bytes", w.table.in.size)
	}
}

func TestInterner(t *testing.T) {
	var in interner
	b := []byte("abc")
	s := in.get(string(b))
	if in.get("abc") != s || in.same(s, "abc") != s || in.get("") != "" {
		t.Error("not the same string")
	}
	for i := range 100_000 {
		in.get(fmt.Sprintf("%064d", i))
	}
	if n := len(in.young) + len(in.old); n > 2*internBytes/64 {
		t.Errorf("%d strings held", n)
	}
}

func BenchmarkApply(b *testing.B) {
	w := newWorld(b, Options{})
	for pid := int32(10); pid < 510; pid++ {
		w.start(pid, 1, "p")
	}
	raws := make([][]byte, 500)
	for i := range raws {
		raws[i] = append([]byte(nil), w.callRaw(10+int32(i*7%500))...)
	}
	for _, c := range []struct {
		name string
		n    int
	}{{"same-process", 1}, {"500-processes", 500}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var v event.View
			for i := 0; b.Loop(); i++ {
				if err := v.Reset(raws[i%c.n]); err != nil {
					b.Fatal(err)
				}
				w.table.Apply(&v, 1)
				w.table.Done(&v)
			}
		})
	}
}

func BenchmarkForkExecExit(b *testing.B) {
	w := newWorld(b, Options{})
	w.start(10, 1, "bash")
	fork := append([]byte(nil), w.forkRaw(10, 11)...)
	w.apply(fork)
	exec := append([]byte(nil), w.execRaw(11, "/usr/bin/true", "-a", "-b")...)
	exit := append([]byte(nil), w.exitRaw(11, 1)...)
	b.ReportAllocs()
	var v event.View
	start := w.now
	for b.Loop() {
		start += 10
		for _, raw := range [][]byte{fork, exec, exit} {
			if err := v.Reset(raw); err != nil {
				b.Fatal(err)
			}
			v.Header().Time = start
			if v.Kind() == event.KindProcfork {
				*slotPtr(raw, event.ProcforkStart) = start
			} else {
				v.Header().Start = start
			}
			w.table.Apply(&v, start)
			w.table.Done(&v)
		}
	}
}

// BenchmarkInNamespaceOf looks up a number that no process of the namespace
// has, as any container can cause, among 10,000 processes.
func BenchmarkInNamespaceOf(b *testing.B) {
	w := newWorld(b, Options{})
	for pid := int32(10); pid < 10_010; pid++ {
		w.start(pid, 1, "p")
	}
	p := w.table.Get(10)
	b.ReportAllocs()
	for b.Loop() {
		if w.table.InNamespaceOf(p, 20_000) != nil {
			b.Fatal("there is none")
		}
	}
}
