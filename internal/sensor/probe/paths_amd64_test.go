package probe

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Syscalls that newer architectures do not have.
func TestPathsOld(t *testing.T) {
	dir, _ := pathDir(t)
	runCalls(t, []call{
		{syscall: "mkdir", do: func() int64 { return raw(unix.SYS_MKDIR, "made", 0o711) },
			want: fields{"path": `"made"`, "mode": num(0o711), "base": quote(dir)}},
		{syscall: "rmdir", do: func() int64 { return raw(unix.SYS_RMDIR, dir+"/gone2") },
			want: fields{"path": quote(dir + "/gone2"), "base": "-"}},
		{syscall: "rename", do: func() int64 { return raw(unix.SYS_RENAME, "f1", dir+"/renamed") },
			want: fields{"oldpath": `"f1"`, "newpath": quote(dir + "/renamed"), "base": quote(dir), "base2": "-"}},
		{syscall: "link", do: func() int64 { return raw(unix.SYS_LINK, "f2", "hard") },
			want: fields{"oldpath": `"f2"`, "newpath": `"hard"`, "base": quote(dir), "base2": quote(dir)}},
		{syscall: "symlink", do: func() int64 { return raw(unix.SYS_SYMLINK, "f2", "soft") },
			want: fields{"target": `"f2"`, "linkpath": `"soft"`, "base": quote(dir)}},
		{syscall: "unlink", do: func() int64 { return raw(unix.SYS_UNLINK, "f3") },
			want: fields{"path": `"f3"`, "base": quote(dir)}},
		{syscall: "chmod", do: func() int64 { return raw(unix.SYS_CHMOD, "f4", 0o4755) },
			want: fields{"filename": `"f4"`, "mode": num(0o4755), "base": quote(dir)}},
		{syscall: "chown", do: func() int64 { return raw(unix.SYS_CHOWN, "f4", 3, 4) },
			want: fields{"path": `"f4"`, "uid": "3", "gid": "4", "base": quote(dir)}},
		{syscall: "lchown", do: func() int64 { return raw(unix.SYS_LCHOWN, "f4", 5, 6) },
			want: fields{"path": `"f4"`, "uid": "5", "gid": "6", "base": quote(dir)}},
		{syscall: "access", do: func() int64 { return raw(unix.SYS_ACCESS, "f4", unix.R_OK|unix.W_OK) },
			want: fields{"name": `"f4"`, "mode": "6", "base": quote(dir)}},
		{syscall: "stat", do: func() int64 { return raw(unix.SYS_STAT, "f4", buffer(256)) },
			want: fields{"path": `"f4"`, "base": quote(dir)}},
		{syscall: "lstat", do: func() int64 { return raw(unix.SYS_LSTAT, "f4", buffer(256)) },
			want: fields{"path": `"f4"`, "base": quote(dir)}},
		{syscall: "mknod", do: func() int64 { return raw(unix.SYS_MKNOD, "null", unix.S_IFCHR|0o666, unix.Mkdev(1, 3)) },
			want: fields{"path": `"null"`, "mode": num(unix.S_IFCHR | 0o666), "dev": num(unix.Mkdev(1, 3)), "base": quote(dir)}},
	})
}

func TestOpenOld(t *testing.T) {
	dir := cwd(t, t.TempDir())
	var fds [2]int64
	tr := trace(t, []string{"open", "creat"}, func() {
		fds[0] = raw(unix.SYS_CREAT, "made", 0o604)
		fds[1] = raw(unix.SYS_OPEN, "made", unix.O_RDWR|unix.O_CREAT, 0o600)
	})
	dev, ino := inode(t, "made")
	e := tr.one(event.KindCreat)
	e.want(t, map[string]string{
		"fd": num(fds[0]), "name": `"made"`, "mode": num(0o604), "dev": dev, "ino": ino, "creat_flags": "0",
		"base": quote(dir), "file": regular(dir + "/made"),
	})
	e = tr.one(event.KindOpen)
	e.want(t, map[string]string{
		"fd": num(fds[1]), "name": `"made"`, "flags": num(fRDWR | fCREAT), "mode": num(0o600), "dev": dev, "ino": ino,
		"base": quote(dir), "file": regular(dir + "/made"),
	})
	for _, fd := range fds {
		unix.Close(int(fd))
	}
	_ = os.Remove("made")
}
