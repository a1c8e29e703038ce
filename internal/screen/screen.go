// Package screen draws views over one another on a terminal, and restores its
// content afterwards.
package screen

import (
	"io"
	"os"
	"strings"

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
type Screen struct{ w io.Writer }

// Open goes to the second screen; Close goes back.
func Open(w io.Writer) (*Screen, error) {
	_, err := io.WriteString(w, enter)
	return &Screen{w}, err
}

// Draw replaces the previous view. A view with more lines than the screen is
// cut: it would scroll.
func (s *Screen) Draw(view string) error {
	_, rows := Size(s.w)
	lines := strings.Split(strings.TrimSuffix(view, "\n"), "\n")
	_, err := io.WriteString(s.w, home+strings.Join(lines[:min(rows, len(lines))], "\r\n"))
	return err
}

// Close restores the previous content of the terminal.
func (s *Screen) Close() error {
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
