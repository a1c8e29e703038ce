package capture

import (
	"fmt"
	"unsafe"
)

const (
	// maxHeld bounds the names that processes and descriptors hold: a file may
	// claim 4 KiB for each of a million.
	maxHeld = 128 << 20
	// countEvery is how many bytes of new names are taken before those that are
	// held are counted again, which takes a while.
	countEvery = maxHeld / 4
)

// bound fails when the world holds more names than any machine has.
func (r *Reader) bound() error {
	if r.paths.fresh < countEvery {
		return nil
	}
	r.paths.fresh = 0
	if n := r.world.held(); n > maxHeld {
		return fmt.Errorf("processes and descriptors with names of %d MiB: the file is damaged", n>>20)
	}
	return nil
}

// held counts the bytes of all names, those that are shared once.
func (w *world) held() int {
	seen := make(map[*byte]struct{})
	n := 0
	add := func(names ...string) {
		for _, s := range names {
			at := unsafe.StringData(s)
			if _, is := seen[at]; s != "" && !is {
				seen[at] = struct{}{}
				n += len(s)
			}
		}
	}
	for _, t := range w.threads {
		p := t.p
		if p.pid != t.tid && w.process(p.pid) == p {
			continue // counted with its main thread
		}
		add(p.cwd, p.root, p.cgroups)
		for i := range p.fds.low {
			f := &p.fds.low[i]
			add(f.name, f.local, f.remote)
		}
		for _, f := range p.fds.high {
			add(f.name, f.local, f.remote)
		}
	}
	return n
}
