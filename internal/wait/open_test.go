package wait

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func pipe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A pipe is read to the end of its writer, however late that comes.
func TestOpenPipe(t *testing.T) {
	path := pipe(t)
	go func() {
		w, err := os.OpenFile(path, os.O_WRONLY, 0) // waits for the reader
		if err == nil {
			_, err = io.WriteString(w, "text")
			err = errors.Join(err, w.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}()
	f, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if text, err := io.ReadAll(f); string(text) != "text" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

// Waits for a writer and for its data end with the context.
func TestOpenEnds(t *testing.T) {
	path := pipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	opened := make(chan error)
	go func() {
		_, err := Open(ctx, path)
		opened <- err
	}()
	w, err := os.OpenFile(path, os.O_WRONLY, 0) // until Open is there
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cancel()
	if err := <-opened; !errors.Is(err, context.Canceled) {
		t.Errorf("opened: %v", err)
	}

	ctx, cancel = context.WithCancel(t.Context())
	needs.Eventually(t, "the pipe has no reader", func() bool {
		_, err := io.WriteString(w, "x")
		return errors.Is(err, unix.EPIPE)
	})
	path = pipe(t) // in the other one may be what was written
	go func() {
		w, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = io.WriteString(w, "x")
			<-ctx.Done()
			err = errors.Join(err, w.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}()
	f, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 10)
	if n, err := f.Read(buf); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	cancel()
	if _, err := f.Read(buf); !errors.Is(err, os.ErrClosed) && !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestOpenOthers(t *testing.T) {
	for path, want := range map[string]error{os.DevNull: nil, filepath.Join(t.TempDir(), "none"): os.ErrNotExist, "open.go": nil} {
		f, err := Open(t.Context(), path)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
		if err == nil {
			f.Close()
		}
	}
}
