package recording

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestMain(m *testing.M) {
	if prefix := os.Getenv("RECORDING_TEST_PREFIX"); prefix != "" {
		recordForEver(prefix)
	}
	leaks.Main(m)
}

const start = uint64(1_700_000_000_000_000_000)

// bench is a recorder with an engine whose events a test makes.
type bench struct {
	*Recorder
	t      testing.TB
	engine *engine.Engine
	stop   context.CancelFunc
	log    bytes.Buffer
	build  event.Builder
	now    uint64
	full   []string
}

// newBench returns a recorder of a replay: it misses nothing. It does not write
// before run.
func newBench(t testing.TB) *bench {
	p, err := plan.New(nil, plan.Options{Lookup: field.Lookup})
	if err != nil {
		t.Fatal(err)
	}
	table := state.NewTable(state.Options{})
	b := &bench{t: t, now: start}
	b.engine = engine.New(engine.Options{
		Table: table, Rules: engine.NewRuleset(p, nil, false), Static: &field.Static{}, Emit: func(*alert.Alert) {},
	})
	b.Recorder = New(Options{
		Table: table, Log: slog.New(slog.NewTextHandler(&b.log, nil)), Machine: capture.Machine{CPUs: 1},
		Limited: func(path string, _ int64) { b.full = append(b.full, path) },
	})
	for pid := range uint32(50) {
		b.build.Start(event.KindTask, event.Header{Time: b.now, PID: pid + 1, TID: pid + 1, Start: 5, Syscall: event.NoSyscall})
		b.build.Str(event.KindTask.Info().Slot("comm"), fmt.Sprintf("process-%d", pid+1))
		b.engine.Handle(b.build.Finish())
	}
	return b
}

func (b *bench) run() {
	ctx, cancel := context.WithCancel(context.Background())
	b.stop = cancel
	go b.Run(ctx)
}

func (b *bench) close() { b.Close(b.stop) }

// write is an event whose data nothing makes shorter.
func (b *bench) write(n int) {
	b.now += 1000
	s := event.KindWrite.Info()
	b.build.Start(event.KindWrite, event.Header{Time: b.now, PID: 7, TID: 8, Start: 5})
	data := make([]byte, n)
	seed := uint32(b.now / 1000)
	for i := range data {
		seed = seed*1664525 + 1013904223
		data[i] = byte(seed >> 24)
	}
	b.build.Bytes(s.Slot("data"), data)
	b.build.File(s.File, event.FileInfo{Type: event.FDFile}, []byte("/srv/file"))
	b.engine.Handle(b.build.Finish())
}

func (b *bench) alert(l Limits) {
	b.Alert(b.engine, b.now+1000, time.Second, l)
}

func limits(t testing.TB) Limits {
	return Limits{Prefix: filepath.Join(t.TempDir(), "test"), Files: 3, Total: 64 << 20, Buffer: 1 << 20}
}

func files(t interface{ Fatal(...any) }, l Limits) []string {
	list, err := filepath.Glob(l.Prefix + "_*_*.scap")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// content counts the processes and the writes of a recording, which must be
// whole to its end.
func content(t testing.TB, path string) (processes, writes int) {
	t.Helper()
	r, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var v event.View
	for {
		ev, err := r.Next()
		if errors.Is(err, io.EOF) {
			return processes, writes
		}
		if err == nil {
			err = v.Reset(ev)
		}
		if err != nil {
			t.Fatalf("%s: after %d processes and %d writes: %v", path, processes, writes, err)
		}
		switch v.Kind() {
		case event.KindTask:
			processes++
		case event.KindWrite:
			writes++
		}
	}
}

// A recording begins with the alert's event and ends when its time is over;
// further alerts extend it.
func TestDuration(t *testing.T) {
	b, l := newBench(t), limits(t)
	b.run()
	b.write(10) // before
	b.alert(l)
	b.write(10)
	b.now += 900_000_000
	b.alert(l) // extends it
	b.write(10)
	b.now += 900_000_000
	b.write(10)
	b.now += 200_000_000
	b.write(10) // after
	b.alert(l)
	b.write(10) // another
	b.close()
	list := files(t, l)
	if len(list) != 2 {
		t.Fatalf("files %q", list)
	}
	if p, w := content(t, list[0]); p != 50 || w != 3 {
		t.Errorf("%d processes, %d writes", p, w)
	}
	if _, w := content(t, list[1]); w != 1 {
		t.Errorf("%d writes in the second", w)
	}
	if s := b.Stats(); s != (Stats{Files: 2, Events: 4}) {
		t.Errorf("%+v", s)
	}
}

// A file ends at its size, whole, and with a message; the next alert begins
// another. Older files make room, but not those of others. It shows a row of
// docs/compatibility.md.
func TestBounds(t *testing.T) {
	b, l := newBench(t), limits(t)
	b.run()
	l.FileSize, l.Total = 1<<20, 3<<20
	other := l.Prefix + "_notes.scap"
	if err := os.WriteFile(other, make([]byte, 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		b.alert(l)
		for range 400 {
			b.write(8000)
		}
		b.now += 2_000_000_000
		b.write(10)
	}
	b.close()
	list := files(t, l)
	if len(list) == 0 || len(list) > l.Files {
		t.Errorf("files %q", list)
	}
	total := int64(0)
	for _, path := range list {
		info, err := os.Stat(path)
		if err != nil || info.Size() > l.FileSize {
			t.Errorf("%s: %v, %v", path, info, err)
		}
		total += info.Size()
		if _, w := content(t, path); w < 50 || w >= 400 {
			t.Errorf("%s: %d writes", path, w)
		}
	}
	if s := b.Stats(); total > l.Total || s.Files != 5 || s.Limited != 5 || s.Errors != 0 || len(b.full) != 5 {
		t.Errorf("%d bytes, %+v, %q", total, s, b.full)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}

// A full disk costs the recording, and no more: it is reported once and
// counted, and the written part is whole.
func TestFullDisk(t *testing.T) {
	b, l := newBench(t), limits(t)
	l.Prefix = filepath.Join(needs.SmallDisk(t, "512k"), "test")
	b.run()
	b.alert(l)
	for range 400 {
		b.write(8000)
	}
	for range 3 {
		b.now += 2_000_000_000
		b.alert(l)
		b.write(10)
	}
	b.close()
	for _, path := range files(t, l) {
		if _, w := content(t, path); w == 0 {
			t.Errorf("%s is empty", path)
		}
	}
	if n := strings.Count(b.log.String(), "a recording is not written"); n != 1 {
		t.Errorf("told %d times\n%s", n, b.log.String())
	}
	if s := b.Stats(); s.Errors == 0 || s.Files == 0 {
		t.Errorf("%+v", s)
	}
}

func TestNoDirectory(t *testing.T) {
	b, l := newBench(t), limits(t)
	l.Prefix += "/missing/x"
	b.run()
	b.alert(l)
	b.write(10)
	b.close()
	if s := b.Stats(); s.Errors != 1 || !strings.Contains(b.log.String(), "no such file or directory") {
		t.Errorf("%+v\n%s", s, b.log.String())
	}
}

// Events that do not fit into the buffer are counted, and the state in them is
// written again with the next event that fits.
func TestBufferFull(t *testing.T) {
	b, l := newBench(t), limits(t)
	b.o.Proc = t.TempDir() // of a live sensor, which does not wait
	l.Buffer = 4000
	b.alert(l)
	b.write(10)
	b.write(5000)
	b.write(10)
	b.run()
	b.close()
	p, w := content(t, files(t, l)[0])
	if s := b.Stats(); s.Missed != 1 || s.Events != 2 || w != 2 || p != 51 {
		t.Errorf("%+v, %d processes, %d writes", s, p, w)
	}
}
