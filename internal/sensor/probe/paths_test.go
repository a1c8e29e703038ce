package probe

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// pathDir is a working directory with a file, a subdirectory and a descriptor
// of that.
func pathDir(t *testing.T) (dir string, sub int) {
	dir = cwd(t, t.TempDir())
	for _, name := range []string{"f", "f1", "f2", "f3", "f4", "f5"} {
		write(t, name, "x")
	}
	for _, name := range []string{"sub", "gone", "gone2"} {
		if err := os.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, "sub/g", "x")
	write(t, "sub/h", "x")
	sub, err := unix.Open("sub", unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(sub) })
	return dir, sub
}

func TestPaths(t *testing.T) {
	dir, sub := pathDir(t)
	top, err := unix.Open(dir, unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(top)
	at := unix.AT_FDCWD
	subdir := dir + "/sub"
	runCalls(t, []call{
		{syscall: "unlinkat", do: func() int64 { return raw(unix.SYS_UNLINKAT, sub, "g", 0) },
			want: fields{"dirfd": num(sub), "name": `"g"`, "flags": "0", "base": quote(subdir), "file": directory(subdir)}},
		{name: " directory", syscall: "unlinkat", do: func() int64 { return raw(unix.SYS_UNLINKAT, at, dir+"/gone", unix.AT_REMOVEDIR) },
			want: fields{"dirfd": "-100", "name": quote(dir + "/gone"), "flags": "512", "base": "-", "file": "-"}},
		{name: " failed", syscall: "unlinkat", fails: true, do: func() int64 { return raw(unix.SYS_UNLINKAT, at, "nothing", 0) },
			want: fields{"dirfd": "-100", "name": `"nothing"`, "flags": "0", "base": quote(dir), "file": "-"}},
		{syscall: "mkdirat", do: func() int64 { return raw(unix.SYS_MKDIRAT, sub, "d", 0o750) },
			want: fields{"dirfd": num(sub), "path": `"d"`, "mode": num(0o750), "base": quote(subdir), "file": directory(subdir)}},
		{syscall: "renameat", do: func() int64 { return raw(unix.SYS_RENAMEAT, at, "f1", sub, "moved") },
			want: fields{"olddirfd": "-100", "oldpath": `"f1"`, "newdirfd": num(sub), "newpath": `"moved"`, "base": quote(dir), "base2": quote(subdir)}},
		{syscall: "renameat2", do: func() int64 {
			return raw(unix.SYS_RENAMEAT2, at, dir+"/f2", sub, "moved2", unix.RENAME_NOREPLACE)
		}, want: fields{"olddirfd": "-100", "oldpath": quote(dir + "/f2"), "newdirfd": num(sub), "newpath": `"moved2"`, "flags": "1",
			"base": "-", "base2": quote(subdir)}},
		{syscall: "linkat", do: func() int64 { return raw(unix.SYS_LINKAT, at, "f3", sub, "linked", 0) },
			want: fields{"olddir": "-100", "oldpath": `"f3"`, "newdir": num(sub), "newpath": `"linked"`, "flags": "0", "base": quote(dir), "base2": quote(subdir)}},
		{syscall: "symlinkat", do: func() int64 { return raw(unix.SYS_SYMLINKAT, "/etc/shadow", sub, "s") },
			want: fields{"target": `"/etc/shadow"`, "linkdirfd": num(sub), "linkpath": `"s"`, "base": quote(subdir), "file": directory(subdir)}},
		{syscall: "mknodat", do: func() int64 { return raw(unix.SYS_MKNODAT, sub, "pipe", unix.S_IFIFO|0o600, 0) },
			want: fields{"dirfd": num(sub), "path": `"pipe"`, "mode": num(unix.S_IFIFO | 0o600), "dev": "0", "base": quote(subdir), "file": directory(subdir)}},
		{syscall: "fchmodat", do: func() int64 { return raw(unix.SYS_FCHMODAT, sub, "h", 0o4755) },
			want: fields{"dirfd": num(sub), "filename": `"h"`, "mode": num(0o4755), "base": quote(subdir), "file": directory(subdir)}},
		{syscall: "fchmodat2", do: func() int64 { return raw(unix.SYS_FCHMODAT2, at, "f", 0o4711, unix.AT_SYMLINK_NOFOLLOW) },
			want: fields{"dirfd": "-100", "filename": `"f"`, "mode": num(0o4711), "flags": "256", "base": quote(dir), "file": "-"}},
		{syscall: "fchownat", do: func() int64 { return raw(unix.SYS_FCHOWNAT, sub, "h", 1, 2, 0) },
			want: fields{"dirfd": num(sub), "pathname": `"h"`, "uid": "1", "gid": "2", "flags": "0", "base": quote(subdir), "file": directory(subdir)}},
		{syscall: "newfstatat", do: func() int64 { return raw(unix.SYS_NEWFSTATAT, sub, "h", buffer(256), 0) },
			want: fields{"dirfd": num(sub), "path": `"h"`, "flags": "0", "base": quote(subdir), "file": directory(subdir)}},
		{syscall: "fchmod", do: func() int64 { return raw(unix.SYS_FCHMOD, sub, 0o700) },
			want: fields{"fd": num(sub), "mode": num(0o700), "file": directory(subdir)}},
		{syscall: "fchown", do: func() int64 { return raw(unix.SYS_FCHOWN, sub, 0, 0) },
			want: fields{"fd": num(sub), "uid": "0", "gid": "0", "file": directory(subdir)}},
		{syscall: "fstat", do: func() int64 { return raw(unix.SYS_FSTAT, sub, buffer(256)) },
			want: fields{"fd": num(sub), "file": directory(subdir)}},
		{syscall: "chdir", do: func() int64 { return raw(unix.SYS_CHDIR, "sub") },
			want: fields{"path": `"sub"`, "cwd": quote(subdir)}},
		{syscall: "getcwd", do: func() int64 { return raw(unix.SYS_GETCWD, buffer(256), 256) },
			want: fields{"path": quote(subdir)}},
		{name: " failed", syscall: "chdir", fails: true, do: func() int64 { return raw(unix.SYS_CHDIR, "nothing") },
			want: fields{"path": `"nothing"`, "cwd": quote(subdir)}},
		{syscall: "fchdir", do: func() int64 { return raw(unix.SYS_FCHDIR, top) },
			want: fields{"fd": num(top), "file": directory(dir), "cwd": quote(dir)}},
		{syscall: "mount", fails: true, do: func() int64 {
			return raw(unix.SYS_MOUNT, "none", "nowhere", "tmpfs", uint64(unix.MS_RDONLY|unix.MS_NOEXEC), nil)
		}, want: fields{"dev": `"none"`, "dir": `"nowhere"`, "type": `"tmpfs"`, "flags": "9", "base": quote(dir)}},
		{syscall: "quotactl", fails: true, do: func() int64 {
			return raw(unix.SYS_QUOTACTL, 0x800002<<8|1, "/dev/none", 2, "/aquota.group")
		}, want: fields{"special": `"/dev/none"`, "quotafilepath": `"/aquota.group"`, "dqb_bhardlimit": "0", "dqb_bsoftlimit": "0", "dqb_curspace": "0",
			"dqb_ihardlimit": "0", "dqb_isoftlimit": "0", "dqb_btime": "0", "dqb_itime": "0", "dqi_bgrace": "0", "dqi_igrace": "0", "dqi_flags": "0",
			"quota_fmt_out": "1", "cmd": "1", "type": "2", "id": "0", "quota_fmt": "4"}},
		{syscall: "umount2", fails: true, do: func() int64 { return raw(unix.SYS_UMOUNT2, "nowhere", unix.MNT_DETACH) },
			want: fields{"name": `"nowhere"`, "flags": "2", "base": quote(dir)}},
	})
}
