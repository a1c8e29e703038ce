package intake

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

// FuzzReader: whatever a hostile sensor writes, each of its lines is an alert
// or counted as none.
func FuzzReader(f *testing.F) {
	f.Add([]byte(line(1) + "Events detected: 1\n\n" + line(2) + "{"))
	f.Add([]byte(strings.Repeat("x", 2<<20) + "\n" + line(1)))
	f.Add([]byte("{\"rule\":\"\\u0000\x1b[2J\",\"time\":\"1970-01-01T00:00:01Z\"}\r\n\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		leaks.Within(t, 64<<20, func() {
			s := NewReader(io.NopCloser(bytes.NewReader(text)), false)
			defer s.Close()
			alerts := uint64(0)
			for {
				batch, err := s.Next(t.Context())
				if errors.Is(err, ErrClosed) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				alerts += uint64(len(batch))
			}
			lines := 0
			for l := range bytes.Lines(text) {
				if len(bytes.TrimSpace(l)) > 0 {
					lines++
				}
			}
			c := s.Traffic()
			if c.Alerts != alerts || c.Alerts+c.Malformed < uint64(lines) || len(text) < pipeSize && c.Alerts+c.Malformed != uint64(lines) {
				t.Errorf("%+v, %d alerts, of %d lines", c, alerts, lines)
			}
		})
	})
}

// A file of alerts that is replaced by a pipe or a device ends the stream with
// an error, without a wait.
func TestFileReplaced(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"pipe":   func(path string) error { return unix.Mkfifo(path, 0o600) },
		"device": func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "alerts")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := NewFile(path, false)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := errors.Join(put(path+"~"), os.Rename(path+"~", path)); err != nil {
				t.Fatal(err)
			}
			if batch, err := s.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
				t.Errorf("%v, %v", batch, err)
			}
		})
	}
}
