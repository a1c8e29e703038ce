package probe

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// childPatterns ask for opens by the names of directories, which may be anywhere in
// a path, and of files. The last excludes what the first asks for.
func childPatterns(dir string) []pathset.Pattern {
	const all = 1<<(1|4) | 1<<(1|4|8) // of files and directories, successful, to read
	ask := func(kind pathset.Kind, text string) pathset.Pattern {
		return pathset.Pattern{Text: text, Kind: kind, Mask: asked(all)}
	}
	not := pathset.Pattern{Text: "/never/", Kind: pathset.Contains, Mask: pathset.Clauses{Excluded: all}}
	return []pathset.Pattern{
		ask(pathset.Contains, "/red/"), ask(pathset.Contains, "d/gre"), ask(pathset.Suffix, "/key"), ask(pathset.Suffix, "ue"),
		ask(pathset.Prefix, dir+"/top/"), ask(pathset.Exact, dir+"/red"), ask(pathset.Within, dir+"/green/"),
		ask(pathset.Prefix, "gre"), ask(pathset.Exact, "b"), ask(pathset.Suffix, strings.Repeat("l", 70)), not,
	}
}

// matches says what the filter is to say of a path, by the text of the patterns.
func matches(p pathset.Pattern, path string) bool {
	switch rest, under := strings.CutPrefix(path, p.Text); p.Kind {
	case pathset.Exact:
		return path == p.Text
	case pathset.Prefix:
		return under
	case pathset.Suffix:
		return strings.HasSuffix(path, p.Text)
	case pathset.Within:
		return under && rest != "" && !strings.Contains(rest, "/")
	default:
		return strings.Contains(path, p.Text)
	}
}

// wantedChild says whether an open by a name in a directory is to be sent.
func wantedChild(patterns []pathset.Pattern, dir, name string) bool {
	path := filepath.Join(dir, name)
	want := false
	for _, p := range patterns {
		if p.Mask.Excluded == 0 && (matches(p, path) || matches(p, name)) {
			want = true
		}
	}
	for _, p := range patterns {
		if p.Mask.Excluded != 0 && matches(p, path) {
			want = false
		}
	}
	return want
}

// Files and directories are opened by their names in directories, while these are
// renamed, moved and mounted elsewhere, and the rules change: each is judged by the
// path that its directory has at the time.
func TestOpenFilterChildren(t *testing.T) {
	if !judgesRelative(t) {
		t.Skip("this object sends all relative paths")
	}
	p := loadOwn(t)
	top := cwd(t, t.TempDir())
	patterns := childPatterns(top)
	tr := &tracer{t: t, probe: p}
	askOpens(t, p, patterns...)

	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	names := []string{"red", "green", "blue", "b", "top", "never", "key", strings.Repeat("l", 70)}
	tree := newTree(t, top, names[:6])
	mountpoint := filepath.Join(t.TempDir(), "red")
	if err := os.Mkdir(mountpoint, 0o700); err != nil {
		t.Fatal(err)
	}
	mounted := false

	const opens, batch = 6000, 100
	sent := 0
	for range opens / batch {
		var want, got []string
		for range batch {
			switch r.IntN(20) {
			case 0:
				tree.move(r, pick(names[:6]))
			case 1:
				if r.IntN(8) == 0 {
					patterns = append(patterns[1:], patterns[0])
					askOpens(t, p, patterns...)
				}
			case 2:
				if !mounted && r.IntN(50) == 0 {
					mounted = true
					mount(t, top, mountpoint)
					tree.dirs = append(tree.dirs, openDir(t, mountpoint))
				}
			}
			base := tree.dirs[r.IntN(len(tree.dirs))]
			dir, name := pathOf(t, base), pick(names)
			fd := raw(unix.SYS_OPENAT, base, name, unix.O_RDONLY, 0)
			if fd < 0 {
				continue
			}
			unix.Close(int(fd))
			if wantedChild(patterns, dir, name) {
				want = append(want, name)
			}
		}
		for _, e := range tr.drain(now()) {
			if name, ok := openName(&e); ok && e.Int(0) >= 0 && slices.Contains(names, name) {
				got = append(got, name)
			}
		}
		if d := gocmp.Diff(want, got); d != "" {
			t.Fatalf("wanted (-) and sent (+):\n%s", d)
		}
		sent += len(got)
	}
	if sent == 0 || sent == opens {
		t.Errorf("%d of %d opens were sent", sent, opens)
	}
}

// pathOf is the path of an open directory.
func pathOf(t *testing.T, fd int) string {
	t.Helper()
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// tree is directories, each held by a descriptor.
type tree struct {
	t    *testing.T
	top  string
	dirs []int
}

// newTree makes directories of these names, three deep, with files in them.
func newTree(t *testing.T, top string, names []string) *tree {
	tr := &tree{t, top, []int{openDir(t, top)}}
	for level, parents := 0, []string{top}; level < 3; level++ {
		var made []string
		for _, parent := range parents {
			for i, name := range names {
				if (i+level)%2 == 1 {
					continue // left free for those that move
				}
				dir := filepath.Join(parent, name)
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(dir, "key"), "x")
				write(t, filepath.Join(dir, strings.Repeat("l", 70)), "x")
				tr.dirs, made = append(tr.dirs, openDir(t, dir)), append(made, dir)
			}
		}
		parents = made
	}
	return tr
}

// move renames a directory, and perhaps moves it, if there is no other of the name.
func (tr *tree) move(r *rand.Rand, name string) {
	from := pathOf(tr.t, tr.dirs[1+r.IntN(len(tr.dirs)-1)])
	to := filepath.Join(filepath.Dir(from), name)
	if r.IntN(2) == 0 {
		to = filepath.Join(pathOf(tr.t, tr.dirs[r.IntN(len(tr.dirs))]), name)
	}
	if _, err := os.Lstat(to); err == nil || !strings.HasPrefix(from, tr.top+"/") {
		return
	}
	_ = unix.Rename(from, to) // not below itself
}

// A thread that changes its root can still hold what is outside, and open its root
// by a name there: what is below that has another path to the thread.
func TestOpenFilterChildOfRoot(t *testing.T) {
	if !judgesRelative(t) {
		t.Skip("this object sends all relative paths")
	}
	p := loadOwn(t)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "jail/inner"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "jail/inner/file"), "x")
	askOpens(t, p, pathset.Pattern{Text: "/inner/file", Kind: pathset.Exact, Mask: asked(1 << (1 | 4))})
	tr := &tracer{t: t, probe: p}
	outside := openDir(t, dir)
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends
		err := errors.Join(unix.Unshare(unix.CLONE_FS), unix.Chroot(filepath.Join(dir, "jail")))
		for at, names := outside, []string{"jail", "inner", "file"}; err == nil && len(names) > 0; names = names[1:] {
			at, err = unix.Openat(at, names[0], unix.O_RDONLY, 0)
			defer unix.Close(at)
		}
		failed <- err
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	for _, e := range tr.drain(now()) {
		if name, ok := openName(&e); ok && name == "file" {
			return
		}
	}
	t.Error("the open of /inner/file was not sent")
}

// The current directory changes while a file is opened by its name in it: the file
// is judged by where it is, not by where the name would be now.
func TestOpenFilterChildWhileMoving(t *testing.T) {
	if !judgesRelative(t) {
		t.Skip("this object sends all relative paths")
	}
	p := loadOwn(t)
	dir := cwd(t, t.TempDir())
	for _, name := range []string{"asked", "plain"} {
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, name+"/file", "x")
	}
	askOpens(t, p, pathset.Pattern{Text: dir + "/asked/file", Kind: pathset.Exact, Mask: asked(1 << (1 | 4))})
	asked, plain := openDir(t, "asked"), openDir(t, "plain")
	raw(unix.SYS_FCHDIR, plain)
	var stop atomic.Bool
	var done sync.WaitGroup
	done.Go(func() {
		for !stop.Load() {
			raw(unix.SYS_FCHDIR, asked)
			raw(unix.SYS_FCHDIR, plain)
		}
	})
	defer func() {
		stop.Store(true)
		done.Wait()
	}()
	inode := func(fd int) uint64 {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.Fatal(err)
		}
		return st.Ino
	}
	file, err := unix.Open(filepath.Join(dir, "asked/file"), unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(file)
	secret := inode(file)
	tr := &tracer{t: t, probe: p}
	for range 40 {
		want, got := 0, 0
		for range 5_000 {
			fd := int(raw(unix.SYS_OPENAT, unix.AT_FDCWD, "file", unix.O_RDONLY, 0))
			if fd < 0 {
				t.Fatalf("open: %d", fd)
			}
			if inode(fd) == secret {
				want++
			}
			unix.Close(fd)
		}
		for _, e := range tr.drain(now()) {
			var file event.FileInfo
			if name, ok := openName(&e); ok && name == "file" && e.FileInfo(e.Info().File, &file) && file.Ino == secret {
				got++
			}
		}
		if got != want {
			t.Errorf("%d opens of the file were sent, want %d", got, want)
			break
		}
	}
}
