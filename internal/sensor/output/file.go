package output

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
)

// file appends lines to a file. With keepAlive it stays open until reopen.
type file struct {
	name      string
	keepAlive bool
	timeout   time.Duration

	f     *os.File
	lines lineBuffer
	stale atomic.Bool // reopen was requested
}

var _ sender = (*file)(nil)

// newFile opens the file once, so that a wrong path stops the start.
func newFile(name string, keepAlive bool, timeout time.Duration) (*file, error) {
	s := &file{name: name, keepAlive: keepAlive, timeout: timeout}
	return s, s.open()
}

// open does not wait for the reader of a named pipe: O_NONBLOCK, open(2).
func (s *file) open() error {
	f, err := os.OpenFile(s.name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, 0o600)
	if errors.Is(err, unix.ENXIO) {
		return nil // a named pipe without a reader: one may come
	}
	if err != nil {
		return err
	}
	s.f = f
	return nil
}

func (s *file) deliver(ctx context.Context, batch []*alert.Alert) (sent, refused int, err error) {
	if s.stale.Swap(false) {
		s.drop()
		s.lines.restart() // the old file was moved away; the new one gets whole lines
	}
	if s.f == nil {
		if err := s.open(); err != nil {
			return 0, 0, err
		}
		if s.f == nil {
			return 0, 0, fmt.Errorf("%s: this pipe has no reader", s.name)
		}
	}
	sent, err = s.lines.writeWithin(ctx, s.timeout, s.f, batch)
	if !s.keepAlive || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		s.drop()
	}
	return sent, 0, err
}

func (s *file) drop() {
	if s.f != nil {
		_ = s.f.Close() // all lines are written; a late error has no addressee
		s.f = nil
	}
}

func (s *file) reopen() { s.stale.Store(true) }

func (s *file) close() error {
	if s.f == nil {
		return nil
	}
	return s.f.Close()
}
