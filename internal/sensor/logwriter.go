package sensor

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/peregrine-sec/peregrine/internal/wait"
)

// logLines is how many lines of the log may wait for its reader.
const logLines = 1024

// logWriter writes lines on its own goroutine: a stalled reader of the log must
// block neither detection nor the stop. Lines that do not fit are counted, and
// the count is written once there is room.
type logWriter struct {
	out   io.Writer
	lines chan []byte
	ended chan struct{}

	mu     sync.Mutex
	closed bool
	lost   int
}

func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{out: out, lines: make(chan []byte, logLines), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		for line := range w.lines {
			_, _ = w.out.Write(line) // an error cannot be logged anywhere
		}
	}()
	return w
}

// Write never waits, and never fails.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return len(line), nil
	}
	text := line
	if w.lost > 0 {
		text = fmt.Appendf(nil, "(%d lines of the log were lost: their reader is too slow)\n%s", w.lost, line)
	}
	select {
	case w.lines <- append([]byte(nil), text...):
		w.lost = 0
	default:
		w.lost++
	}
	return len(line), nil
}

// close writes waiting lines, for at most d.
func (w *logWriter) close(d time.Duration) {
	w.mu.Lock()
	if !w.closed {
		close(w.lines)
	}
	w.closed = true
	w.mu.Unlock()
	wait.Within(d, func() { <-w.ended })
}
