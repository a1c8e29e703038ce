package probe

import (
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// world models the paths that the probe's walk must find: a filesystem of
// nested directories in its own mount namespace, where a fuzzer binds,
// detaches, moves, renames and changes its root.
type world struct {
	t       *testing.T
	top     string   // where the filesystem is mounted as a whole
	names   []string // of the nested directories; each has a file and a descriptor
	fds     []int
	above   int // descriptor of top
	binds   []bind
	loose   []bind // mounted nowhere, known by a descriptor
	cwd     int    // depth of the working directory
	root    int    // of the root directory
	pivoted bool   // the root is the last of binds, and all else is detached
}

const none = -1

// bind is a directory, by its depth, that is also at another place.
type bind struct {
	what int
	on   string
	fd   int
}

func newWorld(t *testing.T) *world {
	return &world{t: t, top: t.TempDir(), names: []string{"d0", "d1", "d2", "d3"}, cwd: none, root: none}
}

// build mounts the filesystem and fills it.
func (w *world) build() error {
	if err := unix.Mount("tmpfs", w.top, "tmpfs", 0, ""); err != nil {
		return err
	}
	var err error
	if w.above, err = unix.Open(w.top, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	for i := range w.names {
		dir := w.top + w.inside(i)
		errs := []error{
			os.Mkdir(dir, 0o755), os.WriteFile(dir+"/file", nil, 0o600), os.Mkdir(w.place(i), 0o755),
		}
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err := errors.Join(append(errs, err)...); err != nil {
			return err
		}
		w.fds = append(w.fds, fd)
	}
	return nil
}

func (w *world) close() {
	for _, fd := range append(w.fds, w.above) {
		unix.Close(fd)
	}
	for _, b := range w.loose {
		unix.Close(b.fd)
	}
}

// inside is the path of a directory in its filesystem.
func (w *world) inside(depth int) string { return "/" + path.Join(w.names[:depth+1]...) }

// place is one of the directories that are bound to.
func (w *world) place(n int) string { return fmt.Sprintf("%s/on%d", w.top, n) }

// free says whether the whole of the namespace can be reached by paths.
func (w *world) free() bool { return w.root == none && !w.pivoted }

func (w *world) isBound(on string) bool {
	return slices.ContainsFunc(w.binds, func(b bind) bool { return b.on == on })
}

// do performs one step that a byte stands for, where it makes sense.
func (w *world) do(op byte) error {
	n := int(op>>3) % len(w.names)
	last := len(w.binds) - 1
	switch on := w.place(n); op & 7 {
	case 0:
		if !w.free() || w.isBound(on) {
			return nil
		}
		w.binds = append(w.binds, bind{what: n, on: on})
		return unix.Mount(w.top+w.inside(n), on, "", unix.MS_BIND, "")
	case 1:
		if !w.free() || last < 0 {
			return nil
		}
		return w.detach(last)
	case 2:
		if !w.free() {
			return nil
		}
		fd, err := unix.OpenTree(unix.AT_FDCWD, w.top+w.inside(n), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		w.loose = append(w.loose, bind{what: n, fd: fd})
		return err
	case 3:
		if !w.free() {
			return nil
		}
		w.root = n
		return unix.Chroot(w.top + w.inside(n))
	case 4:
		if !w.free() || last < 0 {
			return nil
		}
		return w.pivot(w.binds[last].on)
	case 5:
		return w.rename(n)
	case 6: // also out of the root directory
		w.cwd = n
		return unix.Fchdir(w.fds[n])
	default:
		if !w.free() || last < 0 || w.isBound(on) {
			return nil
		}
		from := w.binds[last].on
		w.binds[last].on = on
		return unix.Mount(from, on, "", unix.MS_MOVE, "")
	}
}

// detach leaves a bind to a descriptor alone.
func (w *world) detach(i int) error {
	b := w.binds[i]
	fd, err := unix.Open(b.on, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	w.binds = w.binds[:i]
	w.loose = append(w.loose, bind{what: b.what, fd: fd})
	return unix.Unmount(b.on, unix.MNT_DETACH)
}

// pivot makes a bind the root of the namespace, and detaches all others.
func (w *world) pivot(on string) error {
	if err := unix.Chdir(on); err != nil {
		return err
	}
	w.cwd = none
	switch err := unix.PivotRoot(".", "."); {
	case errors.Is(err, unix.EINVAL): // of an initial ramdisk
		return nil
	case err != nil:
		return err
	}
	w.pivoted = true
	return unix.Unmount(".", unix.MNT_DETACH)
}

func (w *world) rename(n int) error {
	parent, before := w.above, w.names[n]
	if n > 0 {
		parent = w.fds[n-1]
	}
	w.names[n] += "x"
	return unix.Renameat(parent, before, parent, w.names[n])
}

// file is a file to open: how, and the names that the walk must give it.
type file struct {
	dirfd int
	name  string
	want  []string
}

func (w *world) files() []file {
	var all []file
	host := w.host
	if major, minor, _ := kernelVersion(); major == 5 && minor < 12 {
		host = w.inside // these programs do not look for the filesystem's other mounts
	}
	for _, b := range w.loose {
		all = append(all, file{b.fd, "file", []string{host(b.what) + "/file", "/file"}})
	}
	for i, fd := range w.fds {
		all = append(all, file{fd, "file", w.views(i)})
	}
	if w.cwd != none {
		all = append(all, file{unix.AT_FDCWD, "file", w.views(w.cwd)})
	}
	switch {
	case w.pivoted:
		return append(all, file{unix.AT_FDCWD, "/file", []string{"/file"}})
	case w.root != none:
		return append(all, file{unix.AT_FDCWD, "/file", w.views(w.root)})
	}
	for _, b := range w.binds {
		all = append(all, file{unix.AT_FDCWD, b.on + "/file", []string{b.on + "/file"}})
	}
	own := w.host(1) + "/file"
	return append(all, file{unix.AT_FDCWD, own, []string{own}}, file{unix.AT_FDCWD, "/proc/thread-self/root" + own, []string{own}})
}

// host is the path of a directory in the namespace, or, if it is gone from
// there, in its filesystem.
func (w *world) host(depth int) string {
	if w.pivoted {
		return w.inside(depth)
	}
	return w.top + w.inside(depth)
}

// views are the names of the file in a directory of the filesystem: on the host, and as the
// process sees it, if its root is on the way.
func (w *world) views(depth int) []string {
	host := w.host(depth) + "/file"
	if w.root == none || depth < w.root {
		return []string{host}
	}
	return []string{host, strings.TrimPrefix(host, w.host(w.root))}
}

// FuzzWalk shows rows of docs/compatibility.md: the walk from a file to the root
// against a model, with real mounts and roots.
func FuzzWalk(f *testing.F) {
	for _, seed := range []string{
		"", "\x00", "\x00\x01", "\x08\x09", "\x02", "\x1a", "\x03", "\x0b", "\x08\x01\x0b", "\x02\x13",
		"\x00\x10\x01\x02\x0b", "\x00\x04", "\x08\x02\x04", "\x02\x10\x01\x00\x04\x1e", "\x0e\x05\x0d",
		"\x13\x06", "\x03\x1e\x05", "\x08\x17\x1f\x01", "\x02\x05\x0d\x1e\x0b",
	} {
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
	defer w.close()
	if err := w.build(); err != nil {
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
}

// check opens a file, and removes one that is not there, whose directory must
// have the same names.
func (w *world) check(p *Probe, f file) {
	fd := int64(-1)
	tr := traceWith(w.t, p, []string{"openat", "unlinkat"}, func() {
		fd = raw(unix.SYS_OPENAT, f.dirfd, f.name, unix.O_RDONLY)
		raw(unix.SYS_UNLINKAT, f.dirfd, f.name+".none", 0)
	})
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
	if path.IsAbs(f.name) {
		return
	}
	var want []string
	for _, name := range f.want {
		want = append(want, path.Dir(name))
	}
	e = tr.one(event.KindUnlinkat)
	base, _ := e.Str(e.Info().Slot("base"))
	if got := strings.Split(base, "\x00"); !slices.Equal(got, want) {
		w.t.Errorf("directory of descriptor %d: names %q, want %q", f.dirfd, got, want)
	}
}
