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

// A change of directory that an event was to tell, which was lost, is told by the
// next one, and once.
func TestDirectoryOfLostEvent(t *testing.T) {
	if major, minor, _ := kernelVersion(); major == 5 && minor < 12 {
		t.Skip("every chdir is sent")
	}
	in := masked(event.KindSyscall, func(event.CallFacts) bool { return true })
	in.Syscalls = ids("getpriority", "chdir")
	p := load(t, Options{CPUsPerRing: 0, RingBytes: os.Getpagesize(), Interest: in})
	call := func() { raw(unix.SYS_GETPRIORITY, 0, 0) }
	take := func() (dirs []string) {
		for {
			b, ok := p.Reader().Next()
			if !ok {
				return dirs
			}
			e := record(t, b)
			if dir, ok := e.CWD(); ok && int(e.Header().PID) == os.Getpid() {
				dirs = append(dirs, dir)
			}
			if e.Kind() == event.KindChdir {
				t.Error("chdir was sent")
			}
		}
	}
	dir := t.TempDir()
	for lost := uint64(0); lost == 0; {
		call()
		c := countersOf(t, p)
		lost = c.Dropped()
	}
	cwd(t, dir)
	call()
	if got := take(); len(got) > 0 {
		t.Errorf("told %q by events before the change", got)
	}
	call()
	call()
	if got := take(); len(got) != 1 || got[0] != dir {
		t.Errorf("told %q, want %s once", got, dir)
	}
}
