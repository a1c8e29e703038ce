package field

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// maxLinks is how many links the kernel follows in one path (MAXSYMLINKS).
const maxLinks = 40

// keepsLast are the kinds that mean a link itself where a path ends in one
// (path_resolution(7)); link and linkat do unless asked otherwise.
var keepsLast = func() (keeps [event.NumKinds]bool) {
	for _, k := range []event.Kind{
		event.KindUnlink, event.KindUnlinkat, event.KindRmdir, event.KindMkdir, event.KindMkdirat,
		event.KindRename, event.KindRenameat, event.KindRenameat2, event.KindMknod, event.KindMknodat,
		event.KindLink, event.KindLchown, event.KindLstat, event.KindLsetxattr, event.KindSymlink, event.KindSymlinkat,
	} {
		keeps[k] = true
	}
	return keeps
}()

const (
	atSymlinkNofollow = 0x100
	atSymlinkFollow   = 0x400
)

// followsLast says whether the call follows a link that the path p ends in.
func followsLast(c *Context, p *slotParam) bool {
	k := c.Event.Kind()
	slot := k.Info().Slot("flags")
	switch k {
	case event.KindLinkat:
		return p.paths == 0 && c.Event.Uint(slot)&atSymlinkFollow != 0
	case event.KindFchmodat2, event.KindFchownat, event.KindNewfstatat, event.KindMountSetattr, event.KindOpenTree:
		return c.Event.Uint(slot)&atSymlinkNofollow == 0
	}
	return !keepsLast[k]
}

// textBase is the directory that a path without a dirfd of its own is relative
// to: of a link's target, that of the link.
func (c *Context) textBase() string {
	k := c.Event.Kind()
	if k != event.KindSymlink && k != event.KindSymlinkat {
		return c.Proc.CWD
	}
	link := &kindParams[k][k.Info().Slot("linkpath")]
	path, _ := c.Event.Str(link.slot)
	return dirname(c.joined(c.baseOf(link), path))
}

// withoutLinks is path, relative to base, as it is on the host now without the links
// on its way. The kernel reports an open's file; paths of other calls are
// looked up again here, right after.
func (c *Context) withoutLinks(base, path string, last bool) string {
	if !strings.HasPrefix(path, "/") {
		if !strings.HasPrefix(base, "/") {
			return c.joined(base, path)
		}
		path = base + "/" + path
	}
	root, ok := c.rootDir()
	if !ok || len(path) > 2*MaxPath {
		return c.joined("", path)
	}
	if root == "" && !hasLinks(path, last) {
		return c.joined("", path)
	}
	w := walker{c: c, root: root, last: last}
	return w.walk(path)
}

var ownMountNS = sync.OnceValue(func() uint32 {
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/mnt", &st) != nil {
		return 0
	}
	return uint32(st.Ino)
})

// rootDir is where the root directory of the event's process can be reached,
// without a slash at the end; false if it cannot.
func (c *Context) rootDir() (string, bool) {
	if c.Event.Header().MntNS == ownMountNS() && (c.Proc.Root == "/" || c.Proc.Root == "") {
		return "", true
	}
	dir, ok := c.procFile("root")
	if !ok {
		return "", false
	}
	_, err := os.Stat(dir + "/")
	return dir, err == nil
}

// hasLinks says, for most paths by one call, whether there is a link on the
// way.
func hasLinks(path string, last bool) bool {
	dir, name := path, ""
	if !last {
		i := strings.LastIndexByte(strings.TrimRight(path, "/"), '/')
		if dir, name = path[:i+1], path[i+1:]; name == ".." {
			return true
		}
	}
	fd, err := unix.Openat2(unix.AT_FDCWD, dir, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
	if err != nil {
		return true
	}
	_ = unix.Close(fd)
	return false
}

// walker resolves a path one component after the other.
type walker struct {
	c     *Context
	root  string // prefix of the process's root directory
	last  bool   // a link at the end is followed
	at    []string
	links int
}

func (w *walker) walk(path string) string {
	todo := strings.Split(path, "/")
	for len(todo) > 0 && w.links < maxLinks {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			w.at = w.at[:max(0, len(w.at)-1)]
			continue
		}
		w.at = append(w.at, part)
		if len(todo) == 0 && !w.last {
			break
		}
		target, ok := w.read()
		if !ok {
			continue
		}
		w.links++
		w.at = w.at[:len(w.at)-1]
		if strings.HasPrefix(target, "/") {
			w.at = w.at[:0]
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return "/" + strings.Join(w.at, "/")
}

// read returns the target of the link at the walk's place; false if it is not a
// link. Links in /proc of the process itself are known, also after its exit.
func (w *walker) read() (string, bool) {
	if len(w.at) >= 2 && w.at[0] == "proc" {
		if target, ok := w.ofProcess(w.at[1:]); ok {
			return target, true
		}
	}
	target, err := os.Readlink(w.root + "/" + strings.Join(w.at, "/"))
	if err != nil {
		if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			w.links = maxLinks // nothing can be said of the rest
		}
		return "", false
	}
	return target, true
}

func (w *walker) ofProcess(at []string) (string, bool) {
	p := w.c.Proc
	pid := strconv.Itoa(int(p.VPID))
	switch {
	case len(at) == 1 && at[0] == "self":
		return pid, true
	case len(at) == 1 && at[0] == "thread-self":
		return pid + "/task/" + strconv.Itoa(int(w.c.Event.Header().VTID)), true
	case at[0] != pid:
		return "", false
	}
	if len(at) > 3 && at[1] == "task" {
		at = at[2:]
	}
	if len(at) == 2 {
		switch at[1] {
		case "root":
			return "/", true
		case "cwd":
			return p.CWD, p.CWD != ""
		case "exe":
			return p.ExePath, p.ExePath != ""
		}
	}
	return "", false
}
