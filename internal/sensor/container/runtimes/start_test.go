package runtimes

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
)

// At the start on a busy node, each container is asked for once, though all of
// them are listed and all have processes that are not known.
func TestStartAsksOnce(t *testing.T) {
	socket := listen(t, filepath.Join(t.TempDir(), "s"))
	synctest.Test(t, func(t *testing.T) {
		const many = 200
		h := &host{told: make(chan container.Container, 10*many)}
		f := &fake{events: make(chan string)}
		for i := range many {
			f.list = append(f.list, fmt.Sprint(i))
		}
		h.unknown = append([]string{}, f.list...)
		asked := 0
		f.find = func(ctx context.Context, id string) (container.Container, error) {
			asked++
			time.Sleep(5 * time.Millisecond) // of virtual time: the answer takes its time
			return byID(ctx, id)
		}
		v := New(h.options(Endpoint{Socket: socket, Open: func() (Client, error) { return f, nil }}))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { v.Run(ctx); close(done) }()
		time.Sleep(time.Minute) // of virtual time
		synctest.Wait()
		if asked != many || len(h.told) != many {
			t.Errorf("asked %d times, told of %d, for %d containers", asked, len(h.told), many)
		}
		cancel()
		<-done
	})
}

// A question skips the containers delivered after it arose, and only those. The
// record stays small, also without questions.
func TestTold(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	b := newTold([]string{"a", "b"})
	b.note("a", at(10))
	b.note("c", at(20))
	if b.pending["a"] || !b.pending["b"] {
		t.Errorf("pending %v", b.pending)
	}
	for _, q := range []struct {
		at   int64
		want string
	}{{5, "b d"}, {15, "a b d"}, {25, "a b c d"}} {
		if got := b.open(question{[]string{"a", "b", "c", "d"}, at(q.at)}); strings.Join(got, " ") != q.want {
			t.Errorf("question of %d: %q, want %q", q.at, got, q.want)
		}
	}
	for i := range 3 * maxListed {
		b.note(fmt.Sprint(i), at(30))
	}
	if n := len(b.recent); n > maxListed {
		t.Errorf("%d are remembered", n)
	}
}
