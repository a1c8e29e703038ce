package probe

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// The working directory has the name that it has now, not the one of chdir.
//
// It shows a row of docs/compatibility.md.
func TestRenamedWorkingDirectory(t *testing.T) {
	parent := t.TempDir()
	before, now := filepath.Join(parent, "before"), filepath.Join(parent, "now")
	if err := unix.Mkdir(before, 0o755); err != nil {
		t.Fatal(err)
	}
	cwd(t, before)
	write(t, "file", "x")
	if err := unix.Rename(before, now); err != nil {
		t.Fatal(err)
	}
	var fd int64
	tr := trace(t, []string{"openat"}, func() { fd = raw(unix.SYS_OPENAT, unix.AT_FDCWD, "file", unix.O_RDONLY) })
	defer unix.Close(int(fd))
	e := tr.one(event.KindOpenat)
	if f := e.fields(); f["base"] != quote(now) || f["file"] != regular(now+"/file") {
		t.Errorf("below %s: %s, want %s", f["base"], f["file"], now)
	}
}
