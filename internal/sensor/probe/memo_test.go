package probe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// The filter remembers its decision on an open for about a second. The decision
// does not apply to another file at the same path, to the same file at another
// path or place, or after the rules have changed.
func TestOpenFilterRemembers(t *testing.T) {
	p := loadOwn(t)
	dir := cwd(t, t.TempDir())
	for _, name := range []string{"plain", "asked", "asked/mounted", "mounted", "source"} {
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, name+"/file", "x")
	}
	for i := range 500 {
		name := fmt.Sprintf("many/%d", i)
		if err := os.MkdirAll(name, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, name+"/file", "x")
	}
	mount(t, dir+"/source", dir+"/mounted")
	mount(t, dir+"/source", dir+"/asked/mounted")
	for _, at := range []string{"by-plain", "here/plain", "asked/here/plain"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.Symlink(dir+"/plain", at)); err != nil {
			t.Fatal(err)
		}
	}

	const read = 1 << (1 | 4)
	wanted := []pathset.Pattern{
		{Text: dir + "/asked/", Kind: pathset.Prefix, Mask: asked(read)},
		{Text: dir + "/renamed/", Kind: pathset.Prefix, Mask: asked(read)},
		{Text: dir + "/by-plain/file", Kind: pathset.Exact, Mask: asked(read)},
	}
	tr := &tracer{t: t, probe: p}
	ask := func(patterns ...pathset.Pattern) {
		t.Helper()
		askOpens(t, p, patterns...)
	}
	checkAt := func(dirfd int, path string, flags int, want bool) {
		t.Helper()
		fd := raw(unix.SYS_OPENAT, dirfd, path, flags, 0)
		if fd < 0 {
			t.Fatalf("%s: %d", path, fd)
		}
		defer unix.Close(int(fd))
		got := false
		for _, e := range tr.drain(now()) {
			name, _ := openName(&e)
			got = got || name == path && e.Int(0) == fd
		}
		if got != want {
			t.Errorf("%s with flags %#o: sent %v, want %v", path, flags, got, want)
		}
	}
	check := func(path string, flags int, want bool) {
		t.Helper()
		checkAt(unix.AT_FDCWD, filepath.Join(dir, path), flags, want)
	}
	link := func(to string) {
		t.Helper()
		_ = os.Remove("way")
		if err := os.Symlink(to, "way"); err != nil {
			t.Fatal(err)
		}
	}
	rename := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
		link(to)
	}
	here, askedHere := openDir(t, "here"), openDir(t, "asked/here")
	for range 3 {
		ask(wanted...)
		// One path, two files; and one file in two places.
		for _, way := range []struct {
			to   string
			sent bool
		}{{"plain", false}, {"asked", true}, {"mounted", false}, {"asked/mounted", true}} {
			link(way.to)
			check("way/file", unix.O_RDONLY, way.sent)
			check("way/file", unix.O_RDONLY, way.sent)
			check("way/file", unix.O_WRONLY, false)
		}
		// One file, two paths.
		check("plain/file", unix.O_RDONLY, false)
		check("by-plain/file", unix.O_RDONLY, true)
		check("plain/file", unix.O_RDONLY, false)
		// One file, one path from two directories.
		checkAt(here, "plain/file", unix.O_RDONLY, !judgesRelative(t))
		checkAt(askedHere, "plain/file", unix.O_RDONLY, true)
		checkAt(here, "plain/file", unix.O_RDONLY, !judgesRelative(t))
		// A directory on the way changes its name, and changes it back.
		link("plain")
		check("way/file", unix.O_RDONLY, false)
		rename("plain", "renamed")
		check("way/file", unix.O_RDONLY, true)
		rename("renamed", "plain")
		check("way/file", unix.O_RDONLY, false)
		// More files than are remembered.
		for i := range 500 {
			link(fmt.Sprintf("many/%d", i))
			unix.Close(int(raw(unix.SYS_OPENAT, unix.AT_FDCWD, filepath.Join(dir, "way/file"), unix.O_RDONLY, 0)))
		}
		link("asked")
		check("way/file", unix.O_RDONLY, true)
		link("plain")
		check("way/file", unix.O_RDONLY, false)
		// Other rules.
		ask(pathset.Pattern{Text: "/file", Kind: pathset.Suffix, Mask: asked(read)})
		check("way/file", unix.O_RDONLY, true)
		ask()
		check("way/file", unix.O_RDONLY, false)
	}
}

// openDir is a descriptor of a directory.
func openDir(t *testing.T, path string) int {
	t.Helper()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func mount(t *testing.T, source, target string) {
	t.Helper()
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}
