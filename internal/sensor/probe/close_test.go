package probe

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// A close event names the closed file only if the rules ask for it.
func TestClosedFiles(t *testing.T) {
	p := loadOwn(t)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, asked := range []bool{true, false, true} {
		want := map[string]string{"res": "0", "file": "-"}
		if asked {
			want["file"] = regular(path)
		}
		fd, err := unix.Open(path, unix.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		want["fd"] = num(fd)
		tr := traceInterest(t, p, Interest{Syscalls: ids("close"), ClosedFiles: asked}, func() { unix.Close(fd) })
		e := tr.one(event.KindClose)
		e.want(t, want)
	}
}

// An invalid descriptor has no file.
func TestClosedNothing(t *testing.T) {
	p := loadOwn(t)
	tr := traceInterest(t, p, Interest{Syscalls: ids("close"), ClosedFiles: true}, func() { raw(unix.SYS_CLOSE, 12345) })
	e := tr.one(event.KindClose)
	e.want(t, map[string]string{"res": num(-int(unix.EBADF)), "fd": "12345", "file": "-"})
}
