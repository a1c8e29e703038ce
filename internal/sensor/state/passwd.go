package state

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// stamp tells whether files have changed: inode, size and times of both.
type stamp [2]struct {
	ino          uint64
	size         int64
	ctime, mtime int64
}

// maxAccounts bounds a file: a container's may be anything.
const maxAccounts = 1 << 20

var accountFiles = [...]string{"etc/passwd", "etc/group"}

// readAccounts reads the passwd and group files below the directory root. It
// returns nil when they have not changed since prev, or are absent.
func readAccounts(root string, prev stamp) *accounts {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(dir)
	var fds [len(accountFiles)]int
	var now stamp
	for i, name := range accountFiles {
		fds[i] = openBelow(dir, name)
		defer unix.Close(fds[i])
		var st unix.Stat_t
		if unix.Fstat(fds[i], &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
			now[i].ino, now[i].size = st.Ino, st.Size
			now[i].ctime, now[i].mtime = st.Ctim.Nano(), st.Mtim.Nano()
		}
	}
	if now == prev {
		return nil
	}
	return &accounts{users: parsePasswd(readAll(fds[0])), groups: parseGroup(readAll(fds[1])), stamp: now}
}

// readContainerAccounts is readAccounts for the container of a process, whose
// identity it checks: the pid may have been given to another one.
func readContainerAccounts(proc string, pid int32, start uint64, prev stamp) *accounts {
	r := newProcReader(proc, nil)
	root := r.path(pid, "root")
	a := readAccounts(root, prev)
	var f facts
	if a == nil || !r.readStat(pid, &f) || f.start != start-start%tick {
		return nil
	}
	return a
}

// openBelow opens a file for reading without ever leaving the directory dir,
// whatever symlinks are there: to a container, dir is the root.
func openBelow(dir int, name string) int {
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return -1
	}
	return fd
}

// readAll reads a regular file up to its bound; anything else is empty.
func readAll(fd int) string {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return ""
	}
	var b strings.Builder
	var chunk [16 << 10]byte
	for b.Len() < maxAccounts {
		n, err := unix.Read(fd, chunk[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			break
		}
		b.Write(chunk[:n])
	}
	return b.String()
}

// parsePasswd reads passwd(5): name:password:uid:gid:comment:home:shell. The
// first entry of a uid counts, as for getpwuid.
func parsePasswd(text string) map[uint32]*User {
	users := make(map[uint32]*User)
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) < 7 || f[0] == "" || f[0][0] == '#' {
			continue
		}
		uid, err1 := strconv.ParseUint(f[2], 10, 32)
		gid, err2 := strconv.ParseUint(f[3], 10, 32)
		if err1 != nil || err2 != nil || users[uint32(uid)] != nil {
			continue
		}
		users[uint32(uid)] = &User{
			UID: uint32(uid), GID: uint32(gid),
			Name: strings.Clone(f[0]), Home: strings.Clone(f[5]), Shell: strings.Clone(f[6]),
		}
	}
	return users
}

// parseGroup reads group(5): name:password:gid:members.
func parseGroup(text string) map[uint32]*Group {
	groups := make(map[uint32]*Group)
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 4)
		if len(f) < 3 || f[0] == "" || f[0][0] == '#' {
			continue
		}
		gid, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil || groups[uint32(gid)] != nil {
			continue
		}
		groups[uint32(gid)] = &Group{GID: uint32(gid), Name: strings.Clone(f[0])}
	}
	return groups
}
