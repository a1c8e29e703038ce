package capture

import (
	"bytes"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// The memory of descriptors is bounded whatever a file claims, and is released.
func TestDescriptorsAreBounded(t *testing.T) {
	var w world
	w.reset()
	const room = 1 << 15
	w.fds = room
	f := fd{info: event.FileInfo{Type: event.FDFile}}
	var procs []*thread
	for pid := int32(1); w.fds > 0 && pid < 5000; pid++ {
		p := w.newProc(pid)
		procs = append(procs, w.add(pid, p))
		p.fds.set(1023, &f)
		p.fds.set(1<<40, &f)
	}
	used := 0
	for _, th := range procs {
		used += cap(th.p.fds.low) + len(th.p.fds.high)
	}
	if w.fds < 0 || used+w.fds != room {
		t.Errorf("%d used, room for %d", used, w.fds)
	}
	last := procs[len(procs)-1].p.fds
	if last.get(1023) != nil && last.get(1<<40) != nil {
		t.Error("the last process still had room")
	}
	for _, th := range procs {
		w.remove(th)
	}
	for _, table := range w.tables {
		table.free()
	}
	if w.fds != room {
		t.Errorf("room for %d after all have gone, want %d", w.fds, room)
	}
}

func TestHighDescriptors(t *testing.T) {
	var w world
	w.reset()
	p := w.newProc(1)
	f := fd{info: event.FileInfo{Type: event.FDFile}, cloexec: true}
	for _, n := range []int64{0, 31, 1023, 1024, 1 << 40} {
		p.fds.set(n, &f)
		if p.fds.get(n) == nil {
			t.Errorf("descriptor %d is not there", n)
		}
	}
	p.fds.set(-1, &f)
	p.fds.dropRange(31, 1024)
	if p.fds.get(0) == nil || p.fds.get(31) != nil || p.fds.get(1024) != nil || p.fds.get(1<<40) == nil || p.fds.get(-1) != nil {
		t.Error("dropRange dropped too much or too little")
	}
	p.fds.exec()
	if p.fds.get(0) != nil || p.fds.get(1<<40) != nil {
		t.Error("descriptors that are closed on exec are still there")
	}
}

func TestEndlessLists(t *testing.T) {
	for _, c := range []struct {
		typ   uint32
		entry []byte
		n     int
		want  string
	}{
		{blockUsers, make([]byte, 1+8+6), maxUsers + 1, "user list: more than"},
	} {
		var file bytes.Buffer
		w := NewWriter(&file, Machine{})
		w.block(c.typ, append(w.begin(), bytes.Repeat(c.entry, c.n)...))
		r, err := NewReader(&file)
		for err == nil {
			_, err = r.Next()
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
