package field

import "github.com/peregrine-sec/peregrine/internal/sensor/event"

// maxNames bounds the names that Names counts: as given, three views of the
// file, two more of its directory, one by following links.
const maxNames = 7

// maxViews is how many views of a file the probe sends.
const maxViews = 3

// Names is the number of names under which the paths of the event are known: 1
// for the one that was given. The others are those that the kernel has for the
// file an open led to, those of a relative path behind the other names of its
// directory, and, on a live host, the path without the links on its way. A rule
// holds if it does under any of them: no link, root or mount hides a file.
func (c *Context) Names() int {
	n := 1 + c.fileViews() + c.baseViews()
	if c.canFollow() {
		n++
	}
	return n
}

// PathUsed says whether a condition has looked at a path of the event: if none
// has, other names change nothing.
func (c *Context) PathUsed() bool { return c.pathUsed }

// Use makes the fields give the nth name of the event's paths, from 0.
func (c *Context) Use(n int) {
	if c.name != n {
		c.name = n
		c.argsHave = 0
	}
}

// wanted is a name: a view of the file, or one of the directory, or the path
// without links.
type wanted struct {
	file     int // -1: none
	base     int
	followed bool
}

func (c *Context) wanted() wanted {
	if c.name == 0 {
		return wanted{file: -1}
	}
	n, files := c.name-1, c.fileViews()
	if n < files {
		return wanted{file: n}
	}
	if n -= files; n < c.baseViews() {
		return wanted{file: -1, base: n + 1}
	}
	return wanted{file: -1, followed: true}
}

// fileViews is the number of names that the kernel has for the opened file; 0
// if the given path is the only one.
func (c *Context) fileViews() int {
	if !isOpen(c.Event.Kind()) {
		return 0
	}
	f := c.fileInfo()
	if f == nil {
		return 0
	}
	n := min(f.Views().Len(), maxViews)
	if n == 1 && c.isGiven(f.Path()) {
		return 0
	}
	return n
}

// isGiven says whether path is the one that an open was given, made absolute.
func (c *Context) isGiven(path string) bool {
	name := c.name
	c.name = 0
	given, ok := fdName(c)
	c.name = name
	return ok && given == path
}

// baseViews is the number of other names of the directories that the event's
// paths are relative to.
func (c *Context) baseViews() int {
	n := 0
	for i := range 2 {
		if views, ok := c.bases(i); ok {
			n = max(n, min(views.Len(), maxViews)-1)
		}
	}
	return n
}

// canFollow says whether links in the event's paths may have led elsewhere, and
// there is a live host to look at.
func (c *Context) canFollow() bool {
	return namesFile[c.Event.Kind()] != 0 && c.static().Proc != ""
}

// namesFile has, by kind, the parameters that name files and are not opened;
// bit i is slot i.
var namesFile = func() (slots [event.NumKinds]uint64) {
	for k := range event.Kind(event.NumKinds) {
		if isOpen(k) || k.Info().Origin != event.Syscall {
			continue
		}
		for i, p := range k.Info().Params {
			if p.Type == event.Path || p.Type == event.RelPath {
				slots[k] |= 1 << i
			}
		}
	}
	for k, name := range map[event.Kind]string{
		event.KindSymlink: "target", event.KindSymlinkat: "target", event.KindMount: "dev",
	} {
		slots[k] |= 1 << k.Info().Slot(name)
	}
	// These are the process's own names, which the kernel resolved, but for the
	// program that was asked for.
	slots[event.KindExecve] = 1 << event.ExecveFilename
	slots[event.KindExecveat], slots[event.KindGetcwd] = 0, 0
	return slots
}()
