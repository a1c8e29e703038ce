package probe

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// world is a model of what the probe's walk has to find: a tree of directories
// below top, in a mount namespace and with a root of its own, that a fuzzer
// binds, detaches and opens files in.
type world struct {
	t     *testing.T
	top   string
	binds []bind
	root  string // of the process; "" is that of the host
	loose []bind // detached, by descriptor
}

// bind is a directory that is also at another place.
type bind struct {
	what, on string // on "": nowhere
	fd       int
}

const dirs = 4 // d0/d1/d2/d3, each with a file

func dirOf(n int) string {
	var parts []string
	for i := range n%dirs + 1 {
		parts = append(parts, fmt.Sprintf("d%d", i))
	}
	return strings.Join(parts, "/")
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, top: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(w.top, dirOf(dirs-1)), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range dirs {
		if err := os.WriteFile(filepath.Join(w.top, dirOf(i), "file"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(w.top, fmt.Sprintf("on%d", i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// do performs one step that a byte stands for.
func (w *world) do(op byte) error {
	n := int(op >> 3)
	switch op & 7 {
	case 0, 1: // bind a directory
		b := bind{what: filepath.Join(w.top, dirOf(n)), on: filepath.Join(w.top, fmt.Sprintf("on%d", n%dirs))}
		if slices.ContainsFunc(w.binds, func(o bind) bool { return o.on == b.on }) || w.root != "" {
			return nil
		}
		w.binds = append(w.binds, b)
		return unix.Mount(b.what, b.on, "", unix.MS_BIND, "")
	case 2: // detach a bind, and keep a descriptor of it
		if len(w.binds) == 0 || w.root != "" {
			return nil
		}
		b := w.binds[len(w.binds)-1]
		w.binds = w.binds[:len(w.binds)-1]
		fd, err := unix.Open(b.on, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		w.loose = append(w.loose, bind{what: b.what, fd: fd})
		return unix.Unmount(b.on, unix.MNT_DETACH)
	case 3: // clone a tree that is never mounted
		fd, err := unix.OpenTree(unix.AT_FDCWD, filepath.Join(w.top, dirOf(n)), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if w.root != "" {
			return nil
		}
		w.loose = append(w.loose, bind{what: filepath.Join(w.top, dirOf(n)), fd: fd})
		return err
	case 4: // another root
		if w.root != "" {
			return nil
		}
		w.root = filepath.Join(w.top, dirOf(n))
		return unix.Chroot(w.root)
	}
	return nil
}

// file is a file to open: how, and the names that the walk must give it.
type file struct {
	dirfd int
	name  string
	want  []string
}

func (w *world) files() []file {
	var all []file
	for _, b := range w.loose {
		all = append(all, file{b.fd, "file", w.views(b.what+"/file", "/file")})
	}
	if w.root != "" {
		return append(all, file{unix.AT_FDCWD, "/file", w.views(w.root+"/file", "")})
	}
	for _, b := range w.binds {
		all = append(all, file{unix.AT_FDCWD, b.on + "/file", []string{b.on + "/file"}})
	}
	return append(all, file{unix.AT_FDCWD, w.top + "/" + dirOf(1) + "/file", []string{w.top + "/" + dirOf(1) + "/file"}})
}

// views are the names of a file: on the host; as the process sees it, if its
// root is on the way; and as a mount does that is mounted nowhere.
func (w *world) views(host, loose string) []string {
	names := []string{host}
	if own, ok := strings.CutPrefix(host, w.root); ok && w.root != "" && loose == "" {
		names = append(names, path.Clean("/"+own))
	}
	if loose != "" {
		names = append(names, loose)
	}
	return names
}

// FuzzWalk shows rows of docs/compatibility.md: the walk from a file to the root
// against a model, with real mounts and roots.
func FuzzWalk(f *testing.F) {
	for _, seed := range []string{"", "\x00", "\x00\x02", "\x08\x0a", "\x03", "\x1b", "\x04", "\x0c", "\x08\x02\x0c", "\x03\x14", "\x00\x10\x02\x03\x0c"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		needBPF(t)
		p, err := shared()
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t)
		done := make(chan struct{})
		go func() { // in a thread that ends with its namespace
			runtime.LockOSThread()
			defer close(done)
			w.run(p, ops[:min(len(ops), 12)])
		}()
		<-done
	})
}

func (w *world) run(p *Probe, ops []byte) {
	t := w.t
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		t.Errorf("unshare: %v", err)
		return
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Error(err)
		return
	}
	for _, op := range ops {
		if err := w.do(op); err != nil {
			t.Errorf("operation %#x: %v", op, err)
			return
		}
	}
	for _, f := range w.files() {
		w.check(p, f)
	}
	for _, b := range w.loose {
		unix.Close(b.fd)
	}
}

func (w *world) check(p *Probe, f file) {
	fd := int64(-1)
	tr := traceWith(w.t, p, []string{"openat"}, func() { fd = raw(unix.SYS_OPENAT, f.dirfd, f.name, unix.O_RDONLY) })
	defer unix.Close(int(fd))
	if fd < 0 {
		w.t.Errorf("open %s: %v", f.name, unix.Errno(-fd))
		return
	}
	e := tr.one(event.KindOpenat)
	var info event.FileInfo
	if !e.FileInfo(e.Info().File, &info) {
		w.t.Errorf("%s: no file", f.name)
		return
	}
	got := strings.Split(string(info.Views()), "\x00")
	if info.Views() == "" { // as given
		got = []string{f.name}
	}
	if !slices.Equal(got, f.want) {
		w.t.Errorf("%s of descriptor %d: names %q, want %q", f.name, f.dirfd, got, f.want)
	}
}
