package field

import (
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// pathRole is the role of a path in a file system syscall.
type pathRole int

const (
	onePath pathRole = iota
	sourcePath
	targetPath
	numPathRoles
)

// fspathSlots are the parameters with the paths by kind: noPath, ofFD for the
// name of the descriptor, or a slot.
var fspathSlots = func() (slots [event.NumKinds][numPathRoles]int) {
	for k := range slots {
		slots[k] = [numPathRoles]int{noPath, noPath, noPath}
	}
	for k, name := range map[event.Kind]string{
		event.KindMkdir: "path", event.KindMkdirat: "path", event.KindRmdir: "path",
		event.KindUnlink: "path", event.KindUnlinkat: "name",
		event.KindOpen: "name", event.KindOpenat: "name", event.KindOpenat2: "name",
		event.KindCreat: "name", event.KindOpenByHandleAt: "path",
		event.KindChmod: "filename", event.KindFchmodat: "filename", event.KindFchmodat2: "filename",
		event.KindChown: "path", event.KindLchown: "path", event.KindFchownat: "pathname",
		event.KindQuotactl: "special", event.KindUmount: "name", event.KindUmount2: "name",
		event.KindTruncate: "path",
	} {
		slots[k][onePath] = k.Info().Slot(name)
	}
	slots[event.KindFchmod][onePath] = ofFD
	slots[event.KindFchown][onePath] = ofFD
	for k, names := range map[event.Kind][2]string{
		event.KindRename: {"oldpath", "newpath"}, event.KindRenameat: {"oldpath", "newpath"},
		event.KindRenameat2: {"oldpath", "newpath"},
		// For links, Falco calls the new name the source and the linked file the
		// target.
		event.KindLink: {"newpath", "oldpath"}, event.KindLinkat: {"newpath", "oldpath"},
		event.KindSymlink: {"linkpath", "target"}, event.KindSymlinkat: {"linkpath", "target"},
		event.KindMount: {"dev", "dir"}, event.KindMoveMount: {"oldpath", "newpath"},
	} {
		slots[k][sourcePath], slots[k][targetPath] = k.Info().Slot(names[0]), k.Info().Slot(names[1])
	}
	return slots
}()

const (
	noPath = -1
	ofFD   = -2
)

func fspathFields() []Field {
	return []Field{
		fspath("fs.path.name", "Absolute path of the file, for syscalls on one file that succeeded.", onePath, false).inKernel(),
		fspath("fs.path.nameraw", "As fs.path.name, but with the path as in the call.", onePath, true).inKernel(),
		fspath("fs.path.source", "First path of a rename, link or mount, made absolute: the old name of a rename, the new name of a link, the device of a mount.", sourcePath, false),
		fspath("fs.path.sourceraw", "As fs.path.source, but with the path as in the call.", sourcePath, true),
		fspath("fs.path.target", "Second path of a rename, link or mount, made absolute: the new name of a rename, the file that a link points to, the directory of a mount.", targetPath, false),
		fspath("fs.path.targetraw", "As fs.path.target, but with the path as in the call.", targetPath, true),
	}
}

func fspath(name, doc string, role pathRole, raw bool) Field {
	return str(name, AtEvent, doc, func(c *Context) (string, bool) {
		k := c.Event.Kind()
		slot := fspathSlots[k][role]
		switch {
		case slot == noPath:
			return "", false
		case isOpen(k):
			return openPath(c, raw)
		case c.Event.Int(0) != 0:
			return "", false
		case slot == ofFD:
			return fdName(c)
		case raw && c.name == 0:
			return c.Event.Str(slot)
		}
		return c.absolutePath(&kindParams[k][slot])
	})
}

// absolutePath is absolute for the paths of fs.path, some of which are plain
// text that Falco takes to be relative to the current directory.
func (c *Context) absolutePath(p *slotParam) (string, bool) {
	if p.Type != event.String {
		return c.absolute(p)
	}
	path, ok := c.Event.Str(p.slot)
	if !ok {
		return "", false
	}
	c.pathUsed = true
	if c.wanted().followed && namesFile[c.Event.Kind()]&(1<<p.slot) != 0 {
		return c.withoutLinks(c.textBase(), path, true), true
	}
	return c.joined(c.Proc.CWD, path), true
}

// openPath is fs.path.name of an open. Falco means to leave out failed ones,
// but takes only -1, which is EPERM, for a failure.
func openPath(c *Context, raw bool) (string, bool) {
	switch res := c.Event.Int(0); {
	case res == -int64(unix.EPERM):
		return "", false
	case raw:
		return c.Event.Str(openings[c.Event.Kind()].name) // as it was given
	}
	return fdName(c)
}
