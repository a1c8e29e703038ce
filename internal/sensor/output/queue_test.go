package output

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
)

// The queue against a plain slice.
func TestQueueModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		capacity := rapid.OneOf(rapid.IntRange(1, 8), rapid.IntRange(few, 8*few)).Draw(r, "capacity")
		q := newQueue(capacity, 1<<20, 1)
		var waiting, taken []*alert.Alert
		sent, overflow, next := uint64(0), uint64(0), 0
		r.Repeat(map[string]func(*rapid.T){
			"push": func(r *rapid.T) {
				for range rapid.OneOf(rapid.Just(1), rapid.IntRange(1, 2*few)).Draw(r, "n") {
					a := numbered(next)
					next++
					q.push(a)
					if len(waiting)+len(taken) == capacity {
						overflow++
					} else {
						waiting = append(waiting, a)
					}
				}
			},
			"take": func(r *rapid.T) {
				if len(waiting) == 0 {
					r.Skip()
				}
				limit := rapid.OneOf(rapid.IntRange(1, 4), rapid.IntRange(1, few)).Draw(r, "limit")
				got, ok, closed := q.take(nil, limit)
				want := waiting[:min(limit, len(waiting))]
				if !ok || closed || len(got) != len(want) {
					r.Fatalf("took %d %v %v, want %d", len(got), ok, closed, len(want))
				}
				for i := range want {
					if got[i] != want[i] {
						r.Fatalf("alert %d is another", i)
					}
				}
				waiting, taken = waiting[len(want):], append(taken, got...)
			},
			"done": func(r *rapid.T) {
				n := rapid.IntRange(0, len(taken)).Draw(r, "n")
				q.done(append([]*alert.Alert(nil), taken[:n]...))
				taken = taken[n:]
				sent += uint64(n)
			},
			"": func(r *rapid.T) {
				alerts, lost, held := q.counts()
				if alerts != uint64(next) || lost != overflow || held != uint64(len(waiting)+len(taken)) || alerts != sent+lost+held {
					r.Fatalf("alerts %d lost %d held %d sent %d", alerts, lost, held, sent)
				}
			},
		})
	})
}

func TestQueueBytes(t *testing.T) {
	size := numbered(0).Size()
	q := newQueue(100, 3*size, 1)
	for i := range 5 {
		q.push(numbered(i))
	}
	if _, overflow, held := q.counts(); overflow != 2 || held != 3 {
		t.Fatalf("overflow %d held %d", overflow, held)
	}
	batch, _, _ := q.take(nil, 10)
	q.push(numbered(5)) // taken alerts still occupy memory
	if _, overflow, _ := q.counts(); overflow != 3 {
		t.Errorf("overflow %d after take", overflow)
	}
	q.done(batch)
	q.push(numbered(6))
	if _, overflow, held := q.counts(); overflow != 3 || held != 1 {
		t.Errorf("overflow %d held %d after done", overflow, held)
	}
}

func TestSendDoesNotAllocate(t *testing.T) {
	q, b := newQueue(64, 1<<20, 1), newBacklog(64, 1<<20)
	a := numbered(0)
	r := b.subscribe("x")
	defer r.unsubscribe()
	if n := testing.AllocsPerRun(500, func() { q.push(a); b.push(a) }); n != 0 { // first room, then overflow
		t.Errorf("%g allocations", n)
	}
}

// torn is a writer that fails now and then after part of the bytes.
type torn struct {
	bytes.Buffer
	accept func(n int) int
}

var errTorn = errors.New("torn")

func (w *torn) Write(p []byte) (int, error) {
	if n := w.accept(len(p)); n < len(p) {
		w.Buffer.Write(p[:n])
		return n, errTorn
	}
	return w.Buffer.Write(p)
}

// However writes are torn, every line comes out once and whole.
func TestLinesWhole(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var want bytes.Buffer
		var batch []*alert.Alert
		for range rapid.IntRange(1, 30).Draw(r, "lines") {
			a := &alert.Alert{Line: []byte(rapid.StringMatching(`[a-z]{0,20}`).Draw(r, "line"))}
			batch = append(batch, a)
			want.Write(append(bytes.Clone(a.Line), '\n'))
		}
		w := &torn{accept: func(n int) int { return rapid.IntRange(0, n).Draw(r, "accept") }}
		var l lineBuffer
		for attempts := 0; len(batch) > 0; attempts++ {
			if attempts > 100 {
				w.accept = func(n int) int { return n }
			}
			n, err := l.write(w, batch)
			if err == nil && n != len(batch) {
				r.Fatalf("%d of %d without an error", n, len(batch))
			}
			batch = batch[n:]
		}
		if got := w.Buffer.String(); got != want.String() {
			r.Fatalf("got %q\nwant %q", got, want.String())
		}
	})
}
