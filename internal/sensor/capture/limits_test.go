package capture

import (
	"bytes"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// A file may claim what it wants: descriptors take no more room than there is,
// and give it back.
func TestDescriptorsAreBounded(t *testing.T) {
	var w world
	w.reset()
	f := fd{info: event.FileInfo{Type: event.FDFile}}
	var procs []*thread
	for pid := int32(1); w.fds > 0 && pid < 5000; pid++ {
		p := w.newProc(pid)
		procs = append(procs, w.add(pid, p))
		p.fds.set(1023, &f)
		p.fds.set(1<<40, &f)
	}
	if w.fds < 0 || len(procs) > maxFDs/lowFDs+1 {
		t.Errorf("room for %d after %d processes", w.fds, len(procs))
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
	if w.fds != maxFDs {
		t.Errorf("room for %d after all have gone, want %d", w.fds, maxFDs)
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
		{blockInterface, append([]byte{byte(if4NoSpeed), 0, 0, 0}, make([]byte, 12)...), maxInterfaces + 1, "interface list: more than"},
	} {
		var file bytes.Buffer
		w := NewWriter(&file, Machine{})
		w.block(c.typ, append(w.begin(), bytes.Repeat(c.entry, c.n)...))
		if _, err := text(t, file.Bytes()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
