package anyfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// Reading any path ends soon, with at most the limit.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"file": "text", "empty": "", "long": strings.Repeat("x", 1001), "fits": strings.Repeat("x", 1000)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		path, want, err string
	}{
		{dir + "/file", "text", ""},
		{dir + "/empty", "", ""},
		{dir + "/fits", strings.Repeat("x", 1000), ""},
		{dir + "/long", "", "more than 1000 bytes"},
		{"/dev/null", "", ""},
		{"/dev/zero", "", "more than 1000 bytes"},
		{"/dev/urandom", "", "more than 1000 bytes"},
		{"/proc/sys/kernel/ostype", "Linux\n", ""},
		{"/proc/kallsyms", "", "more than 1000 bytes"},
		{fifo, "", "no data from this pipe"},
		{dir, "", "is a directory"},
		{dir + "/missing", "", "no such file"},
	}
	for _, tt := range tests {
		got, err := Read(tt.path, 1000)
		if string(got) != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %.40q, %v; want %.40q, %s", tt.path, got, err, tt.want, tt.err)
		}
	}
	if _, err := Read(dir+"/missing", 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v is not ErrNotExist", err)
	}
}

// A pipe whose writer comes late and writes in parts is read whole.
func TestReadPipe(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		w, err := os.OpenFile(fifo, os.O_WRONLY, 0) // waits for the reader
		if err != nil {
			return
		}
		defer w.Close()
		for range 3 {
			w.WriteString("part ")
			time.Sleep(time.Millisecond) // so that the reader finds it empty
		}
	}()
	got, err := Read(fifo, 1000)
	if err != nil || string(got) != "part part part " {
		t.Errorf("%q, %v", got, err)
	}
}
