package probe

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
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

// So it has when the mount that it is in has moved.
//
// It shows a row of docs/compatibility.md.
func TestMovedWorkingDirectory(t *testing.T) {
	needBPF(t)
	dir := t.TempDir()
	before, now := filepath.Join(dir, "before"), filepath.Join(dir, "now")
	done := make(chan struct{})
	go func() { // in a thread that ends with its namespace
		runtime.LockOSThread()
		defer close(done)
		if err := errors.Join(
			unix.Mkdir(before, 0o755), unix.Mkdir(now, 0o755), unix.Unshare(unix.CLONE_NEWNS|unix.CLONE_FS),
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("tmpfs", before, "tmpfs", 0, ""),
			os.WriteFile(before+"/file", nil, 0o600), unix.Chdir(before), unix.Mount(before, now, "", unix.MS_MOVE, ""),
		); err != nil {
			t.Error(err)
			return
		}
		var fd int64
		tr := trace(t, []string{"openat"}, func() { fd = raw(unix.SYS_OPENAT, unix.AT_FDCWD, "file", unix.O_RDONLY) })
		defer unix.Close(int(fd))
		e := tr.one(event.KindOpenat)
		if f := e.fields(); f["base"] != quote(now) || f["file"] != regular(now+"/file") {
			t.Errorf("below %s: %s, want %s", f["base"], f["file"], now)
		}
	}()
	<-done
}
