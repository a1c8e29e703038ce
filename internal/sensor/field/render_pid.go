package field

import (
	"strconv"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// resolvedPID is the name of the process that a number stands for, or that has
// the thread of that number.
func resolvedPID(c *Context, dst []byte, p *slotParam) []byte {
	if q := c.processOf(p, int32(c.Event.Int(p.slot))); q != nil {
		return append(dst, comm(q)...)
	}
	return dst
}

func (c *Context) processOf(p *slotParam, n int32) *state.Process {
	h := c.Event.Header()
	if n <= 0 {
		return nil
	}
	if !ofHost(c.Event.Kind(), p.Name) && c.Proc.InPIDNS() {
		if n == int32(h.VTID) {
			return c.Proc
		}
		return c.Table.InNamespaceOf(c.Proc, n)
	}
	if n == int32(h.TID) {
		return c.Proc
	}
	if q := c.Table.Get(n); q != nil {
		return q
	}
	if p.Name == "ptid" { // the thread that forked
		return c.Table.Parent(c.Proc)
	}
	if tgid, ok := c.threadGroup(n); ok {
		return c.Table.Get(tgid)
	}
	return nil
}

// ofHost says of which numbers the host's are sent; others are as the call has
// them, in the pid namespace of the process.
func ofHost(k event.Kind, name string) bool {
	switch k {
	case event.KindClone, event.KindClone3, event.KindFork, event.KindVfork, event.KindExecve, event.KindExecveat:
		return name == "tid" || name == "pid" || name == "ptid" || name == "pgid" || name == "ppid"
	case event.KindProcexit:
		return true
	}
	return false
}

// threadGroup asks /proc which process has the thread tid.
func (c *Context) threadGroup(tid int32) (int32, bool) {
	root := c.static().Proc
	if root == "" {
		return 0, false
	}
	n, ok := statusLine(readFile(root+"/"+strconv.Itoa(int(tid))+"/status"), "Tgid")
	return int32(n), ok
}
