package field

import (
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// executableFields are the facts about the process's executable and its
// capabilities.
func executableFields() []Field {
	return []Field{
		factOf("proc.is_exe_writable", "True if the process's user could write to the executable.", exeFlag(event.ExeWritable)),
		factOf("proc.is_exe_upper_layer", "True if the executable is in the upper layer of an overlayfs: new or changed in the container.", exeFlag(event.ExeUpperLayer)),
		factOf("proc.is_exe_lower_layer", "True if the executable is in a lower layer of an overlayfs: from the container's image.", exeFlag(event.ExeLowerLayer)),
		factOf("proc.is_exe_from_memfd", "True if the executable exists in memory only (memfd_create).", exeFlag(event.ExeFromMemfd)),
		integer("proc.exe_ino", AtExec, "Inode number of the executable.", func(c *Context) (int64, bool) {
			return int64(c.Proc.ExeIno), c.Proc.ExeIno != 0
		}),
		nonzeroOf("proc.exe_ino.ctime", AbsTime, "When the executable's inode was changed last, in ns since the epoch.", func(p *state.Process) uint64 { return p.ExeCTime }),
		nonzeroOf("proc.exe_ino.mtime", AbsTime, "When the executable was written to last, in ns since the epoch.", func(p *state.Process) uint64 { return p.ExeMTime }),
		unsigned("proc.exe_ino.ctime_duration_proc_start", AbsTime, AtExec, "Time from the last change of the executable's inode to the start of the process, in ns.", func(c *Context) (uint64, bool) {
			p := c.Proc
			return p.ForkTime - p.ExeCTime, p.ExeCTime != 0 && p.ForkTime > p.ExeCTime
		}),
		unsigned("proc.exe_ino.ctime_duration_pidns_start", AbsTime, AtExec, "Time from the start of the pid namespace to a later change of the executable's inode, in ns.", func(c *Context) (uint64, bool) {
			p := c.Proc
			return p.ExeCTime - p.PIDNSStart, p.PIDNSStart != 0 && p.ExeCTime > p.PIDNSStart
		}),
		capsField("thread.cap_permitted", "Permitted capabilities, as CAP_* names separated by spaces.", func(p *state.Process) uint64 { return p.CapPermitted }),
		capsField("thread.cap_inheritable", "Inheritable capabilities, as CAP_* names separated by spaces.", func(p *state.Process) uint64 { return p.CapInheritable }),
		capsField("thread.cap_effective", "Effective capabilities, as CAP_* names separated by spaces.", func(p *state.Process) uint64 { return p.CapEffective }),
	}
}

func exeFlag(flag event.ExeFlags) func(*state.Process) bool {
	return func(p *state.Process) bool { return p.ExeFlags&flag != 0 }
}

func capsField(name, doc string, get func(*state.Process) uint64) Field {
	return str(name, AtExec, doc, func(c *Context) (string, bool) {
		start := len(c.buf)
		c.buf = appendCaps(c.buf, get(c.Proc))
		return c.built(start), true
	})
}
