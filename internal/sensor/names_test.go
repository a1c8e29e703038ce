package sensor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func init() {
	for name, act := range map[string]func(dir string) error{
		"detached": detached, "detached-cwd": detachedCWD, "detached-all": detachedAll, "open-tree": clonedTree,
		"chroot": inJail, "chroot-relative": inJailRelative,
		"link": linkThrough, "linkat": linkatFollowing, "symlink": symlinkTo, "rename": renameThrough, "unlink": unlinkThrough,
		"mkdir": mkdirThrough, "chmod": chmodThrough, "chown": chownThrough, "mknod": mknodThrough, "deep": deep,
		"proc-root": linkFromProc, "long": longName, "mounts": newMounts, "pivot": pivoted, "pivot-cwd": pivotedCWD,
		"truncate": truncateThrough, "covered": setxattrCovered, "exec": runThrough,
	} {
		acts[name] = func(a []string) error { return act(a[0]) }
	}
}

// private gives the thread, which ends with the act, mounts of its own.
func private() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
}

// detach returns a descriptor of the mount at on, then unmounts it.
func detach(what, on string) (int, error) {
	if err := private(); err != nil {
		return -1, err
	}
	if err := unix.Mount(what, on, "", unix.MS_BIND, ""); err != nil {
		return -1, fmt.Errorf("bind %s: %w", what, err)
	}
	fd, err := unix.Open(on, unix.O_PATH, 0)
	if err != nil {
		return -1, err
	}
	return fd, unix.Unmount(on, unix.MNT_DETACH)
}

func openIn(fd int, name string) error {
	file, err := unix.Openat(fd, name, unix.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	return unix.Close(file)
}

func detached(dir string) error {
	fd, err := detach(dir+"/real", dir+"/on")
	if err != nil {
		return err
	}
	return openIn(fd, "secret")
}

func detachedCWD(dir string) error {
	fd, err := detach(dir+"/real", dir+"/on")
	if err != nil {
		return err
	}
	if err := unix.Fchdir(fd); err != nil {
		return err
	}
	return openIn(unix.AT_FDCWD, "secret")
}

// detachedAll detaches a mount of a whole filesystem, which is still mounted
// elsewhere.
func detachedAll(dir string) error {
	fd, err := detach(dir+"/fs", dir+"/on")
	if err != nil {
		return err
	}
	return openIn(fd, "sub/secret")
}

func clonedTree(dir string) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir+"/real", unix.OPEN_TREE_CLONE)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	return openIn(fd, "secret")
}

// pivot makes an empty filesystem the root, and detaches all others; it returns
// a descriptor of dir/real.
func pivot(dir string) (int, error) {
	if err := private(); err != nil {
		return -1, err
	}
	fd, err := unix.Open(dir+"/real", unix.O_PATH, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Mount("tmpfs", dir+"/on", "tmpfs", 0, ""); err != nil {
		return -1, fmt.Errorf("mount: %w", err)
	}
	if err := unix.Chdir(dir + "/on"); err != nil {
		return -1, err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return -1, fmt.Errorf("pivot_root: %w", err)
	}
	return fd, unix.Unmount(".", unix.MNT_DETACH)
}

func pivoted(dir string) error {
	fd, err := pivot(dir)
	if err != nil {
		return err
	}
	return openIn(fd, "secret")
}

func pivotedCWD(dir string) error {
	fd, err := pivot(dir)
	if err != nil {
		return err
	}
	if err := unix.Fchdir(fd); err != nil {
		return err
	}
	return openIn(unix.AT_FDCWD, "secret")
}

func inJail(dir string) error {
	if err := private(); err != nil {
		return err
	}
	if err := unix.Chroot(dir); err != nil {
		return err
	}
	return openIn(unix.AT_FDCWD, "/real/secret")
}

func inJailRelative(dir string) error {
	if err := private(); err != nil {
		return err
	}
	if err := unix.Chroot(dir); err != nil {
		return err
	}
	if err := unix.Chdir("/real"); err != nil {
		return err
	}
	return openIn(unix.AT_FDCWD, "secret")
}

func linkThrough(dir string) error { return os.Link(dir+"/via/secret", dir+"/hard") }

func linkFromProc(dir string) error {
	return os.Link("/proc/self/root"+dir+"/real/secret", dir+"/hard2")
}

func linkatFollowing(dir string) error {
	return unix.Linkat(unix.AT_FDCWD, dir+"/soft", unix.AT_FDCWD, dir+"/hard3", unix.AT_SYMLINK_FOLLOW)
}

func symlinkTo(dir string) error     { return os.Symlink("via/secret", dir+"/soft2") }
func renameThrough(dir string) error { return os.Rename(dir+"/via/moved", dir+"/elsewhere") }
func unlinkThrough(dir string) error { return unix.Unlink(dir + "/via/gone") }
func mkdirThrough(dir string) error  { return os.Mkdir(dir+"/via/made", 0o700) }
func chmodThrough(dir string) error  { return os.Chmod(dir+"/soft", 0o600) }
func chownThrough(dir string) error  { return os.Chown(dir+"/soft", 0, 0) }
func mknodThrough(dir string) error  { return unix.Mknod(dir+"/via/node", unix.S_IFIFO|0o600, 0) }

func truncateThrough(dir string) error { return unix.Truncate(dir+"/soft", 0) }
func setxattrCovered(dir string) error { return unix.Setxattr(dir+"/covered", "user.x", nil, 0) }
func runThrough(dir string) error      { return exec.Command(dir + "/run").Run() }

func longName(dir string) error {
	return openAndClose(dir+"/"+strings.Repeat("./", 600)+"real/secret", unix.O_RDONLY)
}

// deep makes a path of more than 4096 bytes, and opens the file at its end.
func deep(dir string) error {
	if err := os.Chdir(dir + "/real"); err != nil {
		return err
	}
	for range 40 {
		name := strings.Repeat("d", 120)
		if err := os.Mkdir(name, 0o700); err != nil {
			return err
		}
		if err := unix.Chdir(name); err != nil {
			return err
		}
	}
	fd, err := unix.Open("at-the-end", unix.O_CREAT|unix.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func newMounts(dir string) error {
	if err := private(); err != nil {
		return err
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir+"/real", unix.OPEN_TREE_CLONE)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("mount_setattr: %w", err)
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, dir+"/on", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount: %w", err)
	}
	fsfd, err := unix.Fsopen("tmpfs", 0)
	if err != nil {
		return fmt.Errorf("fsopen: %w", err)
	}
	if err := fsconfigCreate(fsfd); err != nil {
		return err
	}
	_, err = unix.Fsmount(fsfd, 0, unix.MOUNT_ATTR_NOSUID)
	return err
}

func fsconfigCreate(fd int) error {
	const create = 6 // FSCONFIG_CMD_CREATE
	if _, _, errno := unix.Syscall6(unix.SYS_FSCONFIG, uintptr(fd), create, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("fsconfig: %w", errno)
	}
	return nil
}

// namesDir is a directory with files and links, that all may change.
func namesDir(t *testing.T) string {
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o777), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"real", "on", "fs"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"secret", "moved", "gone"} {
		if err := os.WriteFile(filepath.Join(dir, "real", f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"via": "real", "soft": "real/secret", "run": "/bin/true"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// coverWithLink makes a file and mounts a link itself on it.
func coverWithLink(file, link string) error {
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		return err
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, link, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.MoveMount(fd, "", unix.AT_FDCWD, file, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// onRoot is the path of dir in the filesystem of the root directory, or in its
// own.
func onRoot(t *testing.T, dir string) string {
	var root, here unix.Stat_t
	if err := errors.Join(unix.Stat("/", &root), unix.Stat(dir, &here)); err != nil {
		t.Fatal(err)
	}
	if root.Dev == here.Dev {
		return dir
	}
	for up := dir; ; up = filepath.Dir(up) {
		var above unix.Stat_t
		if err := unix.Stat(filepath.Dir(up), &above); err != nil {
			t.Fatal(err)
		}
		if above.Dev != here.Dev {
			return strings.TrimPrefix(dir, up)
		}
	}
}

// namesTest is an act, and a condition that holds of an event of it.
type namesTest struct{ act, condition string }

const opens = "evt.type in (open, openat, openat2) and evt.rawres >= 0 and "

// TestNames shows rows of docs/compatibility.md: a file has one name for the
// rules, whatever links, mounts and roots are on the way to it.
func TestNames(t *testing.T) {
	dir := namesDir(t)
	program, err := filepath.EvalSymlinks("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	requireBPF(t)
	if err := unix.Mount("tmpfs", dir+"/fs", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir+"/fs", unix.MNT_DETACH) })
	if err := os.Mkdir(dir+"/fs/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/fs/sub/secret", "")
	if err := coverWithLink(dir+"/covered", dir+"/soft"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir+"/covered", unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) })
	checkNames(t, dir, nil, []namesTest{
		{"detached", opens + "fd.name = ROOT/real/secret"},
		{"detached-cwd", opens + "fd.name = ROOT/real/secret"},
		{"pivot", opens + "fd.name = " + onRoot(t, dir) + "/real/secret"},
		{"pivot-cwd", opens + "fd.name = " + onRoot(t, dir) + "/real/secret"},
		{"detached-all", opens + "fd.name = ROOT/fs/sub/secret"},
		{"open-tree", opens + "fd.name = ROOT/real/secret"},
		{"chroot", opens + "fd.name = ROOT/real/secret"},
		{"chroot", opens + "fd.name = /real/secret"},
		{"chroot-relative", opens + "fd.name = ROOT/real/secret"},
		{"chroot-relative", opens + "fd.name = /real/secret"},
		{"link", "evt.type in (link, linkat) and evt.arg.oldpath = ROOT/real/secret"},
		{"proc-root", "evt.type in (link, linkat) and fs.path.target = ROOT/real/secret"},
		{"linkat", "evt.type in (link, linkat) and evt.arg.oldpath = ROOT/real/secret"},
		{"symlink", "evt.type in (symlink, symlinkat) and evt.arg.target = ROOT/real/secret"},
		{"rename", "evt.type in (rename, renameat, renameat2) and fs.path.source = ROOT/real/moved"},
		{"unlink", "evt.type in (unlink, unlinkat) and fs.path.name = ROOT/real/gone"},
		{"mkdir", "evt.type in (mkdir, mkdirat) and fs.path.name = ROOT/real/made"},
		{"chmod", "evt.type in (chmod, fchmodat) and evt.arg.filename = ROOT/real/secret"},
		{"chown", "evt.type in (chown, fchownat) and fs.path.name = ROOT/real/secret"},
		{"truncate", "evt.type = truncate and evt.arg.path = ROOT/real/secret"},
		{"covered", "evt.type = setxattr and evt.arg.path = ROOT/real/secret"},
		{"exec", "evt.type = execve and evt.arg.filename = ROOT/run"},
		{"exec", "evt.type = execve and evt.arg.filename = " + program},
		{"mknod", "evt.type in (mknod, mknodat) and evt.arg.path = ROOT/real/node"},
		{"long", opens + "fd.name = /DIR_TOO_LONG/FILENAME_TOO_LONG"},
		{"long", opens + "fd.name = ROOT/real/secret"},
		{"deep", opens + "fd.name endswith dd/at-the-end"},
		{"mounts", "evt.type = open_tree and evt.arg.path = ROOT/real"},
		{"mounts", "evt.type = mount_setattr and evt.arg.attr_set contains RDONLY"},
		{"mounts", "evt.type = move_mount and evt.arg.newpath = ROOT/on"},
		{"mounts", "evt.type = fsmount and evt.arg.attr_flags contains NOSUID"},
	})
}

// Mounts of an unprivileged user in a user namespace hide nothing either.
//
// It shows rows of docs/compatibility.md.
func TestNamesInUserNamespace(t *testing.T) {
	requireBPF(t)
	dir := namesDir(t)
	nobody := &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 65534, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 65534, Size: 1}},
		Credential:  &syscall.Credential{NoSetGroups: true},
	}
	enter := exec.Cmd{Path: "/bin/true", Dir: dir, SysProcAttr: nobody}
	needs.That(t, "user namespaces of users without rights, and a TMPDIR that all users may enter", enter.Run())
	const by = " and user.uid = 65534"
	checkNames(t, dir, nobody, []namesTest{
		{"detached", opens + "fd.name = ROOT/real/secret" + by},
		{"detached-cwd", opens + "fd.name = ROOT/real/secret" + by},
		{"open-tree", opens + "fd.name = ROOT/real/secret" + by},
		{"pivot", opens + "fd.name = " + onRoot(t, dir) + "/real/secret" + by},
		{"chroot", opens + "fd.name = ROOT/real/secret" + by},
		{"chroot-relative", opens + "fd.name = /real/secret" + by},
	})
}

// onRamdisk says whether the root directory is that of an initial ramdisk, which
// stays the root: pivot_root(2).
func onRamdisk(t *testing.T) bool {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^\S+ / rootfs `).Match(mounts)
}

// checkNames starts a sensor with a rule for each test, and performs the acts.
func checkNames(t *testing.T, dir string, as *syscall.SysProcAttr, tests []namesTest) {
	t.Helper()
	if onRamdisk(t) {
		tests = slices.DeleteFunc(tests, func(tt namesTest) bool { return strings.HasPrefix(tt.act, "pivot") })
	}
	var rules strings.Builder
	for i, tt := range tests {
		fmt.Fprintf(&rules, "- rule: R%d\n  desc: d\n  priority: INFO\n  output: \"%%evt.args\"\n  condition: %s and (proc.name = sensor.test or proc.pname = sensor.test)\n",
			i, strings.ReplaceAll(tt.condition, "ROOT", dir))
	}
	s := start(t, rules.String(), "rule_matching=all")
	done, missing := map[string]bool{}, map[string]string{}
	for i, tt := range tests {
		missing[fmt.Sprintf("R%d", i)] = tt.act + ": " + tt.condition
		if !done[tt.act] {
			done[tt.act] = true
			performAs(t, as, tt.act, dir)
		}
	}
	s.poll(20*time.Second, func(a alertLine) bool {
		delete(missing, a.Rule)
		return len(missing) == 0
	})
	for _, what := range missing {
		t.Error("no alert for ", what)
	}
}
