package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Falco's bits of open flags.
const (
	fRDONLY, fWRONLY, fRDWR, fCREAT = 1, 2, 3, 4
	fAPPEND, fTRUNC                 = 8, 1 << 8
	fDIRECTORY, fCLOEXEC, fTMPFILE  = 1 << 10, 1 << 12, 1 << 13
	fCREATED                        = 1 << 14
)

func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenat(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "file"), "x")
	cwd(t, dir)
	if err := os.Mkdir("sub", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, "sub/inner", "y")
	for link, to := range map[string]string{"link": file, "dirlink": "sub"} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	sub, err := unix.Open("sub", unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(sub)
	long := "/" + strings.Repeat("./", 900) + file[1:]
	at := unix.AT_FDCWD

	for _, tc := range []struct {
		name  string
		dirfd int
		path  string
		flags int
		mode  int
		base  string // "" none
		file  string // the path that the descriptor resolves to
		want  int    // flags
		perm  int
	}{
		{name: "absolute", dirfd: at, path: file, file: file, want: fRDONLY},
		{name: "flags", dirfd: at, path: file, flags: unix.O_WRONLY | unix.O_APPEND | unix.O_CLOEXEC, file: file, want: fWRONLY | fAPPEND | fCLOEXEC},
		{name: "relative to cwd", dirfd: at, path: "file", flags: unix.O_RDWR, base: dir, file: file, want: fRDWR},
		{name: "relative to a descriptor", dirfd: sub, path: "inner", base: dir + "/sub", file: dir + "/sub/inner", want: fRDONLY},
		{name: "up", dirfd: sub, path: "../file", base: dir + "/sub", file: file, want: fRDONLY},
		{name: "symlink", dirfd: at, path: "link", base: dir, file: file, want: fRDONLY},
		{name: "symlinked directory", dirfd: at, path: dir + "/dirlink/inner", file: dir + "/sub/inner", want: fRDONLY},
		{name: "proc root", dirfd: at, path: "/proc/self/root" + file, file: file, want: fRDONLY},
		{name: "padding", dirfd: at, path: long, file: file, want: fRDONLY},
		{name: "create", dirfd: at, path: "new", flags: unix.O_CREAT | unix.O_TRUNC | unix.O_WRONLY, mode: 0o640, base: dir,
			file: dir + "/new", want: fCREAT | fTRUNC | fWRONLY | fCREATED, perm: 0o640},
		{name: "no UTF-8", dirfd: at, path: "bad\xff\x80", flags: unix.O_CREAT, mode: 0o600, base: dir, file: dir + "/bad\xff\x80",
			want: fCREAT | fRDONLY | fCREATED, perm: 0o600},
		{name: "O_PATH", dirfd: at, path: file, flags: unix.O_PATH, file: file, want: fRDONLY},
		{name: "missing", dirfd: at, path: "nothing", base: dir, want: fRDONLY},
		{name: "bad descriptor", dirfd: 9999, path: "x", want: fRDONLY},
		{name: "empty", dirfd: at, path: "", base: dir, want: fRDONLY},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var fd int64
			tr := trace(t, []string{"openat"}, func() { fd = raw(unix.SYS_OPENAT, tc.dirfd, tc.path, tc.flags, tc.mode) })
			e := tr.one(event.KindOpenat)
			want := map[string]string{
				"fd": fmt.Sprint(fd), "dirfd": fmt.Sprint(tc.dirfd), "name": quote(tc.path), "flags": fmt.Sprint(tc.want),
				"mode": fmt.Sprint(tc.perm), "dev": "0", "ino": "0", "base": "-", "file": "-",
			}
			if tc.base != "" {
				want["base"] = quote(tc.base)
			}
			if tc.file != "" {
				if fd < 0 {
					t.Fatalf("openat: %d", fd)
				}
				want["dev"], want["ino"] = inode(t, tc.file)
				want["file"] = regular(tc.file)
				if tc.file == tc.path {
					want["file"] = regular(unlessGiven(t, tc.path))
				}
				unix.Close(int(fd))
			}
			e.want(t, want)
			checkHeader(t, &e, fd, "openat")
		})
	}
}

// TestOpenDirectory shows a row of docs/compatibility.md.
func TestOpenDirectory(t *testing.T) {
	dir := t.TempDir()
	file := dir + "/file"
	write(t, file, "")
	var fd, tmp, path int64
	tr := trace(t, []string{"openat"}, func() {
		fd = raw(unix.SYS_OPENAT, unix.AT_FDCWD, dir, unix.O_DIRECTORY, 0o4755)
		tmp = raw(unix.SYS_OPENAT, unix.AT_FDCWD, dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
		path = raw(unix.SYS_OPENAT, unix.AT_FDCWD, file, unix.O_PATH|unix.O_CREAT, 0o4755)
	})
	defer unix.Close(int(fd))
	defer unix.Close(int(tmp))
	defer unix.Close(int(path))
	events := tr.of(event.KindOpenat, os.Getpid())
	if len(events) != 3 {
		t.Fatalf("%d events", len(events))
	}
	// As Falco has it: any bit of O_TMPFILE, and O_DIRECTORY is one, shows both.
	// Its mode is no mode: nothing is made.
	if f := events[0].fields(); f["flags"] != fmt.Sprint(fRDONLY|fDIRECTORY|fTMPFILE) || f["mode"] != "0" || f["file"] != directory(unlessGiven(t, dir)) {
		t.Errorf("directory: %v", f)
	}
	if f := events[1].fields(); f["flags"] != fmt.Sprint(fRDWR|fDIRECTORY|fTMPFILE) || f["mode"] != fmt.Sprint(0o600) {
		t.Errorf("O_TMPFILE: %v", f)
	}
	if f := events[2].fields(); f["mode"] != "0" {
		t.Errorf("O_PATH does not create: %v", f)
	}
}

func TestOpenat2(t *testing.T) {
	dir := cwd(t, t.TempDir())
	write(t, "file", "x")
	how := unix.OpenHow{Flags: unix.O_RDWR, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	var fd int64
	tr := trace(t, []string{"openat2"}, func() {
		fd = raw(unix.SYS_OPENAT2, unix.AT_FDCWD, "file", unsafe.Pointer(&how), int(unsafe.Sizeof(how)))
	})
	defer unix.Close(int(fd))
	dev, ino := inode(t, "file")
	e := tr.one(event.KindOpenat2)
	e.want(t, map[string]string{
		"fd": fmt.Sprint(fd), "dirfd": "-100", "name": `"file"`, "flags": fmt.Sprint(fRDWR), "mode": "0", "resolve": "9",
		"dev": dev, "ino": ino, "base": quote(dir), "file": regular(dir + "/file"),
	})
	checkHeader(t, &e, fd, "openat2")
}

func TestOpenByHandleAt(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "file"), "x")
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, file, 0)
	if err != nil {
		t.Skipf("no file handles on this filesystem: %v", err)
	}
	mount, err := unix.Open(dir, unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(mount)
	var fd int
	tr := trace(t, []string{"open_by_handle_at"}, func() { fd, err = unix.OpenByHandleAt(mount, handle, unix.O_RDONLY) })
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	dev, ino := inode(t, file)
	e := tr.one(event.KindOpenByHandleAt)
	e.want(t, map[string]string{
		"fd": fmt.Sprint(fd), "mountfd": fmt.Sprint(mount), "flags": fmt.Sprint(fRDONLY), "path": quote(file),
		"dev": dev, "ino": ino, "file": regular(file), "base": quote(filepath.Dir(file)),
	})
}

// The longest path there can be, in directories of names as long as may be.
func TestOpenDeep(t *testing.T) {
	dir := t.TempDir()
	cwd(t, dir)
	name := strings.Repeat("d", 200)
	path := dir
	for len(path)+len(name)+1 < 4090 {
		if err := os.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Chdir(name); err != nil {
			t.Fatal(err)
		}
		path += "/" + name
	}
	var fd int64
	tr := trace(t, []string{"openat"}, func() { fd = raw(unix.SYS_OPENAT, unix.AT_FDCWD, ".", unix.O_DIRECTORY) })
	unix.Close(int(fd))
	e := tr.one(event.KindOpenat)
	f := e.fields()
	if f["base"] != quote(path) || f["file"] != directory(path) {
		t.Errorf("base %d bytes, file %d bytes, want %d:\n%s", len(f["base"]), len(f["file"]), len(path), f["file"])
	}
}

// Many short names: more than any fixed number of steps up the tree. Programs
// for old kernels have one (bpf/path.h); they cut the path, and say so.
func TestOpenManyComponents(t *testing.T) {
	cwd(t, t.TempDir())
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for range 600 {
		if err := os.Mkdir("a", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Chdir("a"); err != nil {
			t.Fatal(err)
		}
	}
	var fd int64
	tr := trace(t, []string{"openat"}, func() { fd = raw(unix.SYS_OPENAT, unix.AT_FDCWD, ".", unix.O_DIRECTORY) })
	unix.Close(int(fd))
	e := tr.one(event.KindOpenat)
	path, cut := dir+strings.Repeat("/a", 600), false
	if thisObject(t) != "direct" {
		path, cut = "/..."+strings.Repeat("/a", 48), true
	}
	if f := e.fields(); f["file"] != directory(path) || e.Header().Flags&event.Truncated != 0 != cut {
		t.Errorf("file %.200s, flags %#x", f["file"], e.Header().Flags)
	}
}
