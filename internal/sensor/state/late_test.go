package state

import (
	"slices"
	"testing"
	"unsafe"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// A fork that is told late is the event after which the capabilities of a new
// user namespace count.
func TestLateForkAfterUnshare(t *testing.T) {
	w := newWorld(t, Options{})
	p := w.start(10, 1, "unshare")
	i := credSlots[event.KindUnshare]
	w.b.Start(event.KindUnshare, w.header(10))
	for n := range 3 {
		w.b.Uint(i+n, 7)
	}
	w.apply(w.b.Finish())
	if p.CapEffective == 7 {
		t.Fatal("unshare is judged by the capabilities that it gave")
	}
	raw := slices.Clone(w.forkRaw(10, 11))
	(*event.Header)(unsafe.Pointer(&raw[0])).Flags |= event.Late
	w.apply(raw)
	if c := w.table.Get(11); c == nil || c.CapEffective != 7 || p.CapEffective != 7 {
		t.Errorf("child %+v of %+v", c, p)
	}
}

// A fork that is told late may have the directory that the child inherited, which
// is told of the parent later.
func TestLateForkInDirectory(t *testing.T) {
	w := newWorld(t, Options{})
	p := w.start(10, 1, "sh")
	w.forkRaw(10, 11)
	w.b.CWD("/usr/lib")
	raw := slices.Clone(w.b.Finish())
	(*event.Header)(unsafe.Pointer(&raw[0])).Flags |= event.Late
	w.apply(raw)
	if c := w.table.Get(11); c == nil || c.CWD != "/usr/lib/" || p.CWD != "/" {
		t.Errorf("child %+v of %+v", c, p)
	}
}
