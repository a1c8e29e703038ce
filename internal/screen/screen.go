// Package screen draws views over one another on a terminal, and restores its
// content afterwards.
package screen

import (
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/term"
)

// The control sequences, of ECMA-48 and xterm: the alternate screen (1049), the
// cursor (25), and lines that are too long are cut, not wrapped (7), so that a
// window that shrinks breaks no view.
const (
	enter = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	leave = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	home  = "\x1b[H\x1b[2J"
)

// Screen is a terminal's second screen.
type Screen struct {
	mu     sync.Mutex
	w      io.Writer
	closed bool
}

// open is the screen that is on the terminal; nil: none.
var open atomic.Pointer[Screen]

// Open goes to the second screen; Close goes back.
func Open(w io.Writer) (*Screen, error) {
	s := &Screen{w: w}
	open.Store(s)
	_, err := io.WriteString(w, enter)
	return s, err
}

// Leave closes the open screen, if any: for a program that exits before its owner
// can. It waits for a stalled terminal.
func Leave() error {
	if s := open.Load(); s != nil {
		return s.Close()
	}
	return nil
}

// Draw replaces the previous view, until Close. A view with more lines than the
// screen is cut: it would scroll.
func (s *Screen) Draw(view string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	_, rows := Size(s.w)
	lines := strings.Split(strings.TrimSuffix(view, "\n"), "\n")
	_, err := io.WriteString(s.w, home+strings.Join(lines[:min(rows, len(lines))], "\r\n"))
	return err
}

// Close restores the previous content of the terminal.
func (s *Screen) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	open.CompareAndSwap(s, nil)
	_, err := io.WriteString(s.w, leave)
	return err
}

// Size is how many columns and rows a terminal has now: 80 and 24 where it does
// not tell.
func Size(w io.Writer) (columns, rows int) {
	if f, ok := w.(*os.File); ok {
		if columns, rows, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 && rows > 0 {
			return columns, rows
		}
	}
	return 80, 24
}
