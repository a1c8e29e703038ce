package screen

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/leaks"
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
	return terminal, other
}

// A view fits the window as it is when it is drawn.
func TestResize(t *testing.T) {
	terminal, other := pty(t)
	s, err := Open(terminal)
	if err != nil {
		t.Fatal(err)
	}
	seen := make([]byte, 4096)
	read := func() string {
		n, err := other.Read(seen)
		if err != nil {
			t.Fatal(err)
		}
		return string(seen[:n])
	}
	if got := read(); got != enter {
		t.Errorf("%q", got)
	}
	for rows := range uint16(4) {
		if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: 40, Row: rows}); err != nil {
			t.Fatal(err)
		}
		if columns, known := Size(terminal); rows > 0 && (columns != 40 || known != int(rows)) {
			t.Errorf("%d columns and %d rows", columns, known)
		}
		if err := s.Draw("one\ntwo\nthree\n"); err != nil {
			t.Fatal(err)
		}
		want := 2 // a window of no rows does not tell its size
		if rows > 0 {
			want = int(rows) - 1
		}
		if got := strings.Count(read(), "\n"); got != want {
			t.Errorf("%d line ends in %d rows", got, rows)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(); got != leave {
		t.Errorf("%q", got)
	}
}

func TestSizeUnknown(t *testing.T) {
	if columns, rows := Size(&bytes.Buffer{}); columns != 80 || rows != 24 {
		t.Errorf("%d, %d", columns, rows)
	}
}
