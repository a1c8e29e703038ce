package sensor

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func init() { acts["calls"] = func(a []string) error { return makeCalls(a[0], a[1], a[2]) } }

// caller makes calls at random, in a directory of its own.
type caller struct {
	*rand.Rand
	dir string
}

// callNames are the programs that make calls: links to the test.
var callNames = []string{"reader", "writer"}

// callFiles are the names in the directory of calls.
var callFiles = []string{"secret", "other", "sub/secret", "sub", "x.key", "link", "missing", "sub/new", "deep/er/file", ".."}

// makeCalls makes n calls that are drawn by a seed.
func makeCalls(dir, seed, n string) error {
	s, err := strconv.ParseUint(seed, 10, 64)
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := confine(dir); err != nil {
		return fmt.Errorf("confine calls to %s: %w", dir, err)
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	c := &caller{rand.New(rand.NewPCG(s, 1)), dir}
	for range count {
		calls[c.IntN(len(calls))](c)
	}
	return nil
}

// confine makes everything but dir read-only for the thread: symlinks, renames
// and changes of the directory lead random calls out of it.
func confine(dir string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return err
	}
	return unix.MountSetattr(unix.AT_FDCWD, dir, 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
}

// path is one of the names, in one of the ways to write it.
func (c *caller) path() string {
	p := callFiles[c.IntN(len(callFiles))]
	switch c.IntN(8) {
	case 0:
		return "./" + p
	case 1:
		return "sub/../" + p
	case 2:
		return "linked/" + p // a link to the directory itself
	case 3, 4:
		return p
	case 5:
		return filepath.Join(c.dir, p) + "/"
	}
	return filepath.Join(c.dir, p)
}

// at is a directory for a relative path to start from.
func (c *caller) at() (fd int, done func()) {
	if c.IntN(2) == 0 {
		return unix.AT_FDCWD, func() {}
	}
	fd, err := unix.Open(filepath.Join(c.dir, []string{"", "sub"}[c.IntN(2)]), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return unix.AT_FDCWD, func() {}
	}
	return fd, func() { unix.Close(fd) }
}

// under calls do with a directory and a path.
func (c *caller) under(do func(fd int, path string)) {
	fd, done := c.at()
	defer done()
	do(fd, c.path())
}

// calls are the system calls that are made; most of them may fail.
var calls = []func(c *caller){
	func(c *caller) {
		c.under(func(fd int, p string) { closeFD(unix.Openat(fd, p, c.openFlags(), 0o4600)) })
	},
	func(c *caller) { c.under(func(fd int, p string) { closeFD(unix.Openat(fd, p, c.openFlags(), 0o600)) }) },
	func(c *caller) { c.under(func(fd int, p string) { unix.Unlinkat(fd, p, c.IntN(2)*unix.AT_REMOVEDIR) }) },
	func(c *caller) { c.under(func(fd int, p string) { unix.Mkdirat(fd, p, 0o700) }) },
	func(c *caller) { c.under(func(fd int, p string) { unix.Renameat(fd, p, unix.AT_FDCWD, c.path()) }) },
	func(c *caller) {
		c.under(func(fd int, p string) { unix.Renameat2(unix.AT_FDCWD, c.path(), fd, p, uint(c.IntN(3))) })
	},
	func(c *caller) { c.under(func(fd int, p string) { unix.Linkat(fd, p, unix.AT_FDCWD, c.path(), 0) }) },
	func(c *caller) { c.under(func(fd int, p string) { unix.Symlinkat(c.path(), fd, p) }) },
	func(c *caller) { c.under(func(fd int, p string) { unix.Fchmodat(fd, p, uint32(c.IntN(0o10000)), 0) }) },
	func(c *caller) { c.under(func(fd int, p string) { unix.Fchownat(fd, p, 0, 0, 0) }) },
	func(c *caller) { c.under(func(fd int, p string) { unix.Mknodat(fd, p, unix.S_IFREG|0o600, 0) }) },
	func(c *caller) { unix.Truncate(c.path(), 0) },
	func(c *caller) { os.WriteFile(filepath.Join(c.dir, "secret"), nil, 0o600) },
	func(c *caller) { os.MkdirAll(filepath.Join(c.dir, "sub"), 0o700) },
	func(c *caller) { os.Symlink("secret", filepath.Join(c.dir, "link")) },
	func(c *caller) {
		if fd, err := unix.Dup(c.IntN(20)); err == nil {
			unix.Dup3(fd, 100, 0)
			unix.Close(fd)
			unix.Close(100)
		}
	},
	func(c *caller) {
		closeFD(unix.Socket([]int{unix.AF_INET, unix.AF_UNIX, unix.AF_PACKET, 99}[c.IntN(4)], unix.SOCK_STREAM+c.IntN(2), 0))
	},
	func(c *caller) { c.datagram() },
	func(c *caller) { c.stream() },
	func(c *caller) { unix.Setpgid(0, 0) },
	func(c *caller) { unix.Chdir([]string{c.dir, "/", "/missing"}[c.IntN(3)]) },
	func(c *caller) { unix.Setresgid(-1, -1, c.IntN(2)-1) },
	func(c *caller) { unix.Prctl(unix.PR_SET_KEEPCAPS, uintptr(c.IntN(2)), 0, 0, 0) },
	func(c *caller) { unix.Unshare(c.IntN(2) * unix.CLONE_SYSVSEM) },
	func(c *caller) { unix.Kill(os.Getpid(), 0); unix.Kill(1<<22+1, 0) },
	func(c *caller) {
		if c.IntN(4) == 0 {
			exec.Command([]string{"/bin/true", c.path()}[c.IntN(2)]).Run()
		}
	},
}

func (c *caller) openFlags() int {
	flags := []int{unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR, unix.O_RDONLY | unix.O_TRUNC}[c.IntN(4)]
	return flags | []int{0, unix.O_CREAT, unix.O_DIRECTORY, unix.O_PATH}[c.IntN(4)]
}

func closeFD(fd int, err error) {
	if err == nil {
		unix.Close(fd)
	}
}

// datagram sends and receives over UDP, connected or not.
func (c *caller) datagram() {
	a, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return
	}
	defer a.Close()
	if c.IntN(2) == 0 {
		a.WriteTo([]byte("x"), a.LocalAddr())
		a.ReadFrom(make([]byte, 8))
		return
	}
	b, err := net.Dial("udp", a.LocalAddr().String())
	if err != nil {
		return
	}
	defer b.Close()
	b.Write([]byte("x"))
	a.ReadFrom(make([]byte, 8))
}

// stream connects over TCP or a unix socket, or to nobody.
func (c *caller) stream() {
	if c.IntN(3) == 0 {
		if conn, err := net.Dial("tcp", "127.0.0.1:1"); err == nil {
			conn.Close()
		}
		return
	}
	network, at := "tcp", "127.0.0.1:0"
	if c.IntN(2) == 0 {
		network, at = "unix", fmt.Sprintf("@calls-%d", os.Getpid())
	}
	l, err := net.Listen(network, at)
	if err != nil {
		return
	}
	defer l.Close()
	conn, err := net.Dial(network, l.Addr().String())
	if err != nil {
		return
	}
	defer conn.Close()
	if peer, err := l.Accept(); err == nil {
		peer.Close()
	}
}

// callRule draws the condition of a rule about such calls.
func callRule(r *rand.Rand, dir string) string {
	kinds := []string{
		"openat", "open", "openat2", "creat", "unlinkat", "unlink", "rmdir", "mkdirat", "mkdir", "renameat", "renameat2", "rename", "linkat", "link",
		"symlinkat", "symlink", "fchmodat", "fchmodat2", "chmod", "fchownat", "chown", "mknodat", "mknod", "truncate", "dup", "dup3", "socket", "connect", "listen", "accept4",
		"sendto", "recvfrom", "setpgid", "chdir", "setresgid", "prctl", "unshare", "kill", "execve",
	}
	var some []string
	for range 1 + r.IntN(5) {
		some = append(some, kinds[r.IntN(len(kinds))])
	}
	return "evt.type in (" + strings.Join(some, ", ") + ") and " + callCondition(r, dir, 2)
}

func callCondition(r *rand.Rand, dir string, depth int) string {
	if depth > 0 {
		a, b := callCondition(r, dir, depth-1), callCondition(r, dir, depth-1)
		switch r.IntN(5) {
		case 0:
			return "(" + a + " or " + b + ")"
		case 1:
			return "(not " + a + " and " + b + ")"
		case 2, 3:
			return "(" + a + " and " + b + ")"
		}
		return a
	}
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	switch r.IntN(6) {
	case 0:
		return pick("evt.failed=true", "evt.failed=false", "evt.rawres>=0", "evt.rawres<0", "evt.res=SUCCESS", "evt.res=ENOENT", "evt.rawres=0")
	case 1:
		return pick("proc.name=reader", "proc.name in (writer, true)", "proc.name!=writer", "container.id!=host", "container.id=host", "evt.is_open_write=true", "evt.is_open_read=true")
	case 2:
		return pick("fd.l4proto=udp", "fd.l4proto=tcp", "fd.typechar=4", "fd.typechar=f", "fd.type=unix", "fd.connected=true", "evt.arg.domain contains AF_PACKET",
			"fd.net=\"127.0.0.0/8\"", "fd.name_changed=true", "fd.sockfamily=ip", "evt.arg.flags contains O_TRUNC", "evt.arg.mode contains S_ISUID")
	}
	name := pick("fd.name", "fs.path.name", "fs.path.source", "fs.path.target", "fd.directory", "fd.filename", "evt.arg.name", "evt.arg.path", "evt.arg.filename",
		"evt.arg.oldpath", "evt.arg.newpath", "evt.arg.target", "evt.arg.linkpath", "evt.abspath", "fs.path.nameraw", "evt.args")
	path := filepath.Join(dir, callFiles[r.IntN(len(callFiles))])
	switch r.IntN(6) {
	case 0:
		return name + " = " + path
	case 1:
		return name + " startswith " + filepath.Dir(path) + pick("", "/", "/se")
	case 2:
		return name + " endswith " + pick("secret", "/secret", ".key", "new", "/")
	case 3:
		return name + " contains " + pick("sub", "/secret", "..", "linked", "er/")
	case 4:
		return name + " in (" + path + ", " + filepath.Join(dir, "sub") + ", secret)"
	}
	return name + pick(" pmatch ("+path+")", " pmatch ("+path+"*)", " glob "+path, " glob "+path+"*")
}
