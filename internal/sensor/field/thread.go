package field

import (
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

func threadFields() []Field {
	return []Field{
		integer("thread.tid", AtEvent, "Thread id.", func(c *Context) (int64, bool) { return int64(c.Event.Header().TID), true }),
		boolean("thread.ismain", AtEvent, "True if the event was in the main thread of the process.", func(c *Context) (uint64, bool) {
			h := c.Event.Header()
			return b2u(h.TID == h.PID), true
		}),
		integer("thread.vtid", AtEvent, "Thread id in the process's own pid namespace.", func(c *Context) (int64, bool) {
			n := c.Event.Header().VTID
			return int64(n), n != 0
		}),
		never("thread.exectime", RelTime, "CPU time since the last context switch. Never set: the sensor does not observe context switches."),
		never("thread.totexectime", RelTime, "CPU time since the capture began. Never set: the sensor does not observe context switches."),
		str("thread.cgroups", AtExec, "Control groups, as SUBSYSTEM=PATH separated by spaces.", func(c *Context) (string, bool) {
			return c.spaced(c.Proc.Cgroups), true
		}),
		argField("thread.cgroup", AtExec, "Control group of one subsystem, as in thread.cgroup.memory.", func(c *Context, arg string) (string, bool) {
			return cgroup(c.Proc, arg)
		}).afterDot(),
		never("thread.cpu", Double, "CPU usage. Never set: the sensor does not sample processes."),
		never("thread.cpu.user", Double, "CPU usage in user space. Never set: the sensor does not sample processes."),
		never("thread.cpu.system", Double, "CPU usage in the kernel. Never set: the sensor does not sample processes."),
	}
}

func cgroup(p *state.Process, subsystem string) (path string, ok bool) {
	eachEntry(p.Cgroups, func(s string) bool {
		name, of, _ := strings.Cut(s, "=")
		// libs calls them perf_event_cgroup or perf_event alike
		if ok = strings.TrimSuffix(name, "_cgroup") == strings.TrimSuffix(subsystem, "_cgroup"); ok {
			path = of
		}
		return !ok
	})
	return path, ok
}
