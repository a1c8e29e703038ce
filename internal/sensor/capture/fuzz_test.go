package capture

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

// exampleEvents are the events of a recording: a process, and a few calls.
var exampleEvents = rapid.Custom(func(t *rapid.T) (list [][]byte) {
	var b event.Builder
	for _, k := range []event.Kind{event.KindTask, event.KindOpenat, event.KindProcfork, event.KindExecve, event.KindConnect, event.KindPtrace, event.KindOpenTree} {
		list = append(list, drawEvent(t, &b, k))
	}
	return list
}).Example(1)

// Any input is read to its end or an error, in bounded memory. Its events are
// well-formed and the process table accepts them. The bound is on total
// allocation, which exceeds the memory held at a time.
func FuzzReader(f *testing.F) {
	for _, s := range scripts {
		f.Add(capture(f, s))
	}
	f.Add(recorded(f, exampleEvents[0], exampleEvents))
	f.Fuzz(func(t *testing.T, file []byte) {
		leaks.Within(t, maxMemory, func() { replayed(t, file) })
	})
}

// replayed reads a file to its end or the error in it.
func replayed(t *testing.T, file []byte) {
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		return
	}
	table := state.NewTable(state.Options{})
	var v event.View
	for {
		raw, err := r.Next()
		if err != nil {
			var format *FormatError
			if !errors.Is(err, io.EOF) && !errors.As(err, &format) {
				t.Fatalf("error without a place: %v", err)
			}
			if _, again := r.Next(); again != err {
				t.Fatalf("after %v: %v", err, again)
			}
			return
		}
		if err := v.Reset(raw); err != nil {
			t.Fatalf("%v", err)
		}
		table.Apply(&v, v.Header().Time)
		table.Done(&v)
	}
}
