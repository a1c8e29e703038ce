package screen

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// pty is a terminal and its other side.
func pty(t *testing.T) (terminal, other *os.File) {
	t.Helper()
	other, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	fd := int(other.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	if terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	if _, err := term.MakeRaw(int(terminal.Fd())); err != nil { // output is passed on unchanged
		t.Fatal(err)
	}
	return terminal, other
}

// A view fits the window as it is when it is drawn.
func TestResize(t *testing.T) {
	terminal, other := pty(t)
	expect := func(what string) {
		t.Helper()
		got := make([]byte, len(what))
		if _, err := io.ReadFull(other, got); err != nil || string(got) != what {
			t.Fatalf("%q, %v, want %q", got, err, what)
		}
	}
	s, err := Open(terminal)
	if err != nil {
		t.Fatal(err)
	}
	expect(enter)
	lines := []string{"one", "two", "three"}
	for rows := range 4 {
		size := &unix.Winsize{Col: 40, Row: uint16(rows)}
		if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, size); err != nil {
			t.Fatal(err)
		}
		shown := rows
		if rows == 0 { // a window that does not tell its size
			shown = len(lines)
		} else if columns, known := Size(terminal); columns != 40 || known != rows {
			t.Errorf("%d columns and %d rows", columns, known)
		}
		if err := s.Draw(strings.Join(lines, "\n") + "\n"); err != nil {
			t.Fatal(err)
		}
		expect(home + strings.Join(lines[:shown], "\r\n"))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	expect(leave)
}

// A program that exits without Close leaves the second screen too, and nothing
// is drawn on the first one meanwhile.
func TestLeave(t *testing.T) {
	var out bytes.Buffer
	if err := errors.Join(Leave(), Leave()); err != nil || out.Len() > 0 {
		t.Fatalf("none is open: %q, %v", out.String(), err)
	}
	for _, end := range []func(*Screen) error{
		func(s *Screen) error { return errors.Join(Leave(), s.Draw("late"), s.Close()) },
		func(s *Screen) error { return errors.Join(s.Close(), s.Draw("late"), s.Close(), Leave()) },
	} {
		out.Reset()
		s, err := Open(&out)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Draw("view"), end(s)); err != nil || out.String() != enter+home+"view"+leave {
			t.Errorf("%q, %v", out.String(), err)
		}
	}
}

func TestSizeUnknown(t *testing.T) {
	if columns, rows := Size(&bytes.Buffer{}); columns != 80 || rows != 24 {
		t.Errorf("%d, %d", columns, rows)
	}
}
