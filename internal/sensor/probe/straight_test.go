package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// straightDir has directories, links and mounts, in the calling thread's own
// mount namespace.
func straightDir(t *testing.T, dir string) (err error) {
	do := func(e error) {
		if err == nil {
			err = e
		}
	}
	do(unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS))
	do(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	do(os.Chdir(dir))
	for _, name := range []string{"a/b", "bound", "stacked", "heap", "fs", "wide/first", "x/" + strings.Repeat("n", 64), "x/" + strings.Repeat("n", 65)} {
		do(os.MkdirAll(name, 0o755))
	}
	for i := range 600 {
		do(os.Mkdir(fmt.Sprint("wide/", i), 0o755))
	}
	do(os.Mkdir("wide/last", 0o755))
	do(os.MkdirAll("broad/one/two", 0o755))
	for i := range 300 { // before the one on the way, as the newest come first
		do(os.Mkdir(fmt.Sprint("broad/", i), 0o755))
		do(os.Mkdir(fmt.Sprint("broad/one/", i), 0o755))
	}
	do(os.WriteFile("file", nil, 0o600))
	do(os.Symlink("a", "link"))
	do(os.Symlink("../a", "a/link"))
	// The entry of a directory stays in memory while that is open, before that of
	// the older link that has its name now.
	do(os.Symlink("a", "older"))
	do(os.Mkdir("gone", 0o755))
	gone, e := os.Open("gone")
	do(e)
	t.Cleanup(func() { gone.Close() })
	do(os.Remove("gone"))
	do(os.Rename("older", "gone"))
	do(unix.Mount("a", "bound", "", unix.MS_BIND, ""))
	do(os.WriteFile("covered", nil, 0o600))
	do(os.Link("covered", "bare"))
	do(mountLink("link", "covered"))
	do(unix.Mount("tmpfs", "fs", "tmpfs", 0, ""))
	do(os.Mkdir("fs/sub", 0o755))
	do(os.Symlink("sub", "fs/link"))
	for i := range 4 {
		if i < 2 {
			do(unix.Mount("a", "stacked", "", unix.MS_BIND, ""))
		}
		do(unix.Mount("a", "heap", "", unix.MS_BIND, ""))
	}
	return err
}

// mountLink mounts a link itself on a file.
func mountLink(link, file string) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, link, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.MoveMount(fd, "", unix.AT_FDCWD, file, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// looksUpPaths says whether the programs look up paths of several names again: in
// the lists of entries that kernels have since 6.8.
func looksUpPaths(t *testing.T) bool {
	t.Helper()
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	var dentry *btf.Struct
	if err := kernel.TypeByName("dentry", &dentry); err != nil {
		t.Fatal(err)
	}
	return thisObject(t) == "direct" &&
		slices.ContainsFunc(dentry.Members, func(m btf.Member) bool { return m.Name == "d_children" })
}

// A path is judged by its text if it leads through directories alone; others, and
// those of which that is not certain, are sent.
func TestStraightPaths(t *testing.T) {
	if !looksUpPaths(t) {
		t.Skip("this kernel's programs do not look paths up again")
	}
	p := loadOwn(t)
	set, err := pathset.New([]pathset.Pattern{{Text: "/no/such/path", Kind: pathset.Exact, Mask: asked(1)}})
	if err != nil {
		t.Fatal(err)
	}
	filter := byFacts(set)
	filter.Calls[event.KindUnlinkat], filter.Calls[event.KindFchmodat] = [2]uint64{1, 1}, [2]uint64{1, 1}
	in := Interest{Syscalls: ids("unlinkat", "fchmodat"), Opens: filter}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // in a thread that ends with its namespace
		runtime.LockOSThread()
		defer close(done)
		if err := straightDir(t, dir); err != nil {
			t.Error(err)
			return
		}
		for path, want := range map[string]bool{ // fchmodat follows a link at the end
			"file": false, "a": false, "a/": false, "bound": false, "link": true, "link/": true, "missing": true, "gone": true,
			"covered": true, // what is mounted there is a link
			"bare":    false,
		} {
			tr := traceInterest(t, p, in, func() { raw(unix.SYS_FCHMODAT, unix.AT_FDCWD, path, 0o755) })
			if sent := len(tr.of(event.KindFchmodat, os.Getpid())) > 0; sent != want {
				t.Errorf("%s, whose link is followed: sent %v, want %v", path, sent, want)
			}
		}
		for _, tc := range []struct {
			path string
			sent bool
		}{
			{"x", false}, {"a/x", false}, {"a/b/x", false}, {"a/b/", false}, {"file", false},
			{"./a/x", true}, {"a/./x", true}, {"a//x", true}, {"a/../x", true}, {"a/..", true}, {"..", true}, {"a/.", true},
			{"link", false}, {"link/", true}, {"link/x", true}, {"a/link/x", true}, {"a/b/../../link/x", true},
			{"file/x", true}, {"missing/x", true}, {"missing/", true},
			{"gone/x", true}, // the entry that was removed is that of a directory
			{"wide/last/x", false}, {"wide/first/x", true}, {"broad/one/x", false}, {"broad/one/two/x", true},
			{"x/" + strings.Repeat("n", 64) + "/x", false}, {"x/" + strings.Repeat("n", 65) + "/x", true},
			{"bound/x", false}, {"bound/b/x", false}, {"bound/link/x", true}, {"stacked/b/x", false}, {"heap/b/x", true},
			{"fs/sub/x", false}, {"fs/link/x", true},
			{"/proc/self/x", true}, {"/proc/1/x", false}, {"/", true}, {"//", true},
		} {
			paths := []string{tc.path, dir + "/" + tc.path}
			if tc.path[0] == '/' {
				paths = paths[:1]
			}
			for _, path := range paths {
				tr := traceInterest(t, p, in, func() { raw(unix.SYS_UNLINKAT, unix.AT_FDCWD, path, 0) })
				if sent := len(tr.of(event.KindUnlinkat, os.Getpid())) > 0; sent != tc.sent {
					t.Errorf("%s: sent %v, want %v", path, sent, tc.sent)
				}
			}
		}
	}()
	<-done
}
