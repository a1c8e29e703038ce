package unixsock

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestListenIsPrivate(t *testing.T) {
	old := unix.Umask(0) // not even a careless umask opens it
	defer unix.Umask(old)
	path := filepath.Join(t.TempDir(), "new", "dir", "s.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}
	l.Close()
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is still there after Close")
	}
}

func TestListenReplacesStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as kill -9 leaves it
	l.Close()
	l, err = Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestListenRefuses(t *testing.T) {
	dir := t.TempDir()
	served := filepath.Join(dir, "served")
	l, err := Listen(served)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{served: "another process serves", file: "not a socket", "/proc/nowhere/s": "no such file"} {
		if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the file that is no socket is gone: %v", err)
	}
	if info, err := os.Stat(served); err != nil || info.Mode().Type() != fs.ModeSocket {
		t.Errorf("the served socket is gone: %v", err)
	}
}
