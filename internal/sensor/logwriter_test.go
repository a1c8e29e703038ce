package sensor

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// A stalled reader of the log blocks nothing; lost lines are counted in the log
// once it reads again.
func TestLogWriterStalled(t *testing.T) {
	r, out := io.Pipe()
	w := newLogWriter(out)
	const lines = logLines + 101 // one is in the pipe, at most
	for i := range lines {
		fmt.Fprintf(w, "line %d\n", i)
	}
	w.close(time.Nanosecond) // does not wait for the reader
	fmt.Fprintln(w, "after the end")
	var text strings.Builder
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&text, r)
	}()
	<-w.ended
	out.Close()
	<-read
	got := strings.Count(text.String(), "line ")
	if got != logLines && got != logLines+1 || strings.Contains(text.String(), "after the end") {
		t.Errorf("%d lines of %d were written", got, lines)
	}
}

func TestLogWriterTellsOfLoss(t *testing.T) {
	r, out := io.Pipe()
	w := newLogWriter(out)
	for range logLines + 101 {
		fmt.Fprintln(w, "line")
	}
	buf := make([]byte, 1<<20)
	for range 3 { // makes room
		if _, err := r.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Fprintln(w, "last")
	go func() { w.close(time.Minute); out.Close() }()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(text), "lines of the log were lost: their reader is too slow)\nlast\n") {
		t.Errorf("...%s", text[max(0, len(text)-200):])
	}
}
