package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// load writes rounds of events of busy processes: opens, reads, closes, stats,
// connections, and now and then a fork, exec and exit.
func load(s *script, rounds int) {
	for i := range rounds {
		name := fmt.Sprintf("/srv/data/file%d", i%100)
		s.ev(50, event.KindOpenat, Num(3), Num(-100), Text(name), Num(1), Num(0), Num(8), Num(123))
		s.ev(50, event.KindFstat, Num(0), Num(3))
		s.ev(50, event.KindRead, Num(16), Text("0123456789abcdef"), Num(3), Num(4096))
		s.ev(1, event.KindNewfstatat, Num(0), Num(-100), Text("rel/path"), Num(0))
		s.ev(50, event.KindClose, Num(0), Num(3))
		s.ev(1, event.KindSocket, Num(10), Num(afInet), Num(sockStream), Num(0))
		s.ev(1, event.KindConnect, Num(0), Tuple(client, server), Num(10), Addr(server))
		s.ev(1, event.KindClose, Num(0), Num(10))
		if i%16 == 0 {
			s.ev(50, event.KindClone, Num(60), Text("-bash"), Text("-i\x00"), Num(50), Num(50), Num(1), Text("/home/ann"), Num(1024),
				Num(0), Num(1), Num(2), Num(3), Num(4), Text("bash"), Text("memory=/user\x00=/user\x00"), Num(0), Num(1000), Num(100), Num(50), Num(50), Num(13))
			s.ev(60, event.KindExecve, Num(0), Text("/bin/true"), Text("-v\x00"), Num(60), Num(60), Num(50), Text("/home/ann"), Num(1024), Num(0), Num(1), Num(2), Num(3), Num(4),
				Text("true"), Text("memory=/user\x00=/user\x00"), Text("A=1\x00"), Num(34817), Num(60), Num(1000), Num(1), Num(0), Num(5), Num(4), Num(77), Num(11), Num(12),
				Num(1000), Text("/bin/true"), Num(60), Num(100), Text("/bin/true"))
			s.ev(60, event.KindProcexit, Num(0), Num(0), Num(0), Num(0), Num(50))
		}
	}
}

func BenchmarkReader(b *testing.B) {
	file := capture(b, func(s *script) { load(s, 2000) })
	b.ReportAllocs()
	events := 0
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(file))
		if err != nil {
			b.Fatal(err)
		}
		for {
			if _, err = r.Next(); err != nil {
				break
			}
			events++
		}
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	file := capture(t, func(s *script) { load(s, 3000) })
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	next := func() {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2000 {
		next()
	}
	// A process is an allocation: one in 131 events here.
	if n := testing.AllocsPerRun(20, func() {
		for range 1000 {
			next()
		}
	}); n > 16 {
		t.Errorf("%v allocations in 1000 events", n)
	}
}

// BenchmarkReplay is the Reader together with the process table.
func BenchmarkReplay(b *testing.B) {
	file := capture(b, func(s *script) { load(s, 2000) })
	b.ReportAllocs()
	events := 0
	var v event.View
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(file))
		if err != nil {
			b.Fatal(err)
		}
		table := state.NewTable(state.Options{})
		for {
			raw, err := r.Next()
			if err != nil {
				break
			}
			if err := v.Reset(raw); err != nil {
				b.Fatal(err)
			}
			table.Apply(&v, v.Header().Time)
			table.Done(&v)
			events++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}
