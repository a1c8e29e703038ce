package output

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
)

// lineBuffer collects alerts into one write. It remembers how much of a line an
// interrupted write has written, so that the next one continues there and no
// line is torn or repeated.
type lineBuffer struct {
	buf  []byte
	part int // bytes of the first alert's line that are out already
}

// maxWrite is about the size up to which one larger write is cheaper than
// two; a pipe holds as much (pipe(7)).
const maxWrite = 64 << 10

// write puts out the alerts of batch, one a line, and returns how many lines
// are out in full.
func (l *lineBuffer) write(w io.Writer, batch []*alert.Alert) (int, error) {
	done := 0
	for done < len(batch) {
		n := l.fill(batch[done:])
		written, err := w.Write(l.buf)
		if err != nil {
			return done + l.count(batch[done:done+n], written), err
		}
		l.part = 0
		done += n
	}
	return done, nil
}

// writeWithin is write for at most timeout, or until ctx ends, as far as f can
// be interrupted: pipes can, and files never wait for long.
func (l *lineBuffer) writeWithin(ctx context.Context, timeout time.Duration, f *os.File, batch []*alert.Alert) (int, error) {
	_ = f.SetWriteDeadline(time.Now().Add(timeout))
	defer context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(time.Unix(1, 0)) })()
	return l.write(f, batch)
}

// fill puts lines into buf until it is full and returns how many.
func (l *lineBuffer) fill(batch []*alert.Alert) int {
	l.buf = l.buf[:0]
	for i, a := range batch {
		if i > 0 && len(l.buf)+len(a.Line) >= maxWrite {
			return i
		}
		l.buf = append(append(l.buf, a.Line...), '\n')
		if i == 0 {
			l.buf = l.buf[min(l.part, len(l.buf)):]
		}
	}
	return len(batch)
}

// count turns the bytes of an interrupted write into lines.
func (l *lineBuffer) count(lines []*alert.Alert, written int) int {
	written += l.part
	for i, a := range lines {
		if written <= len(a.Line) {
			l.part = written
			return i
		}
		written -= len(a.Line) + 1
	}
	l.part = 0
	return len(lines)
}

// restart forgets a torn line: its beginning went to a receiver that is gone.
func (l *lineBuffer) restart() { l.part = 0 }
