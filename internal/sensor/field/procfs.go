package field

import (
	"os"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// procfsFields are the fields that only /proc can answer at the time of the
// event. They are read when a condition or an output asks for them; by then the
// process may have gone, and they are missing.
func procfsFields() []Field {
	fields := []Field{
		unsigned("proc.fdopencount", Uint, AtEvent, "Number of open descriptors, read from /proc when the field is evaluated.", func(c *Context) (uint64, bool) { return c.openFDs() }),
		integer("proc.fdlimit", AtEvent, "Maximum number of open descriptors of the process (RLIMIT_NOFILE).", func(c *Context) (int64, bool) {
			n, ok := c.fdLimit()
			return int64(n), ok
		}),
		fixed("proc.fdusage", AtEvent, "Open descriptors as a percentage of proc.fdlimit.", Extractor{Type: Double, Double: func(c *Context) (float64, bool) {
			limit, _ := c.fdLimit()
			n, ok := c.openFDs()
			if !ok || limit == 0 {
				return 0, false
			}
			return float64(n) * 100 / float64(limit), true
		}}),
		memory("proc.vmsize", "VmSize", "Virtual memory of the process, in kB.", func(p *state.Process) uint32 { return p.VMSize }),
		memory("proc.vmrss", "VmRSS", "Resident memory of the process, in kB.", func(p *state.Process) uint32 { return p.VMRSS }),
		memory("proc.vmswap", "VmSwap", "Swapped memory of the process, in kB.", func(p *state.Process) uint32 { return p.VMSwap }),
		memory("thread.vmsize", "VmSize", "Virtual memory of the process, in kB; missing for threads other than the main one.", func(p *state.Process) uint32 { return p.VMSize }),
		memory("thread.vmrss", "VmRSS", "Resident memory of the process, in kB; missing for threads other than the main one.", func(p *state.Process) uint32 { return p.VMRSS }),
		faults("thread.pfmajor", "Number of major page faults.", func(s procfs.Stat) uint64 { return s.MajorFaults }, func(p *state.Process) uint64 { return p.MajorFaults }),
		faults("thread.pfminor", "Number of minor page faults.", func(s procfs.Stat) uint64 { return s.MinorFaults }, func(p *state.Process) uint64 { return p.MinorFaults }),
		unsigned("proc.nthreads", Uint, AtEvent, "Number of threads of the process, read from /proc when the field is evaluated; if that fails, the last known number.", threads),
		unsigned("proc.nchilds", Uint, AtEvent, "Number of threads of the process besides the main one.", func(c *Context) (uint64, bool) {
			n, ok := threads(c)
			return n - 1, ok && n > 0
		}),
	}
	for fd, name := range []string{"stdin", "stdout", "stderr"} {
		fields = append(fields,
			str("proc."+name+".type", AtEvent, "fd.type of the process's "+name+", as in fd.types.", func(c *Context) (string, bool) {
				t, ok := c.typeOf(int64(fd))
				return nameOfType(t), ok
			}),
			str("proc."+name+".name", AtEvent, "fd.name of the process's "+name+", read from /proc when the field is evaluated.", func(c *Context) (string, bool) {
				d, ok := c.descriptor(int64(fd))
				return d.name, ok
			}))
	}
	return fields
}

// procFile is the path of a file of the event's process; false where there is
// no /proc to ask.
func (c *Context) procFile(name string) (string, bool) {
	root := c.static().Proc
	if root == "" || c.Proc.PID <= 0 {
		return "", false
	}
	return root + "/" + strconv.Itoa(int(c.Proc.PID)) + "/" + name, true
}

func (c *Context) readProc(name string) string {
	path, ok := c.procFile(name)
	if !ok {
		return ""
	}
	return readFile(path)
}

func readFile(path string) string {
	data, _ := os.ReadFile(path) // gone, then
	return string(data)
}

func (c *Context) openFDs() (uint64, bool) {
	path, ok := c.procFile("fd")
	if !ok {
		return 0, false
	}
	entries, err := os.ReadDir(path)
	return uint64(len(entries)), err == nil
}

// fdLimit returns the current limit in /proc, or else the last known one.
func (c *Context) fdLimit() (uint64, bool) {
	if _, rest, ok := strings.Cut(c.readProc("limits"), "Max open files"); ok {
		soft, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
		if n, err := strconv.ParseUint(soft, 10, 64); err == nil {
			return n, true
		}
	}
	return c.Proc.FDLimit, c.Proc.FDLimit != 0
}

// memory is a line of /proc/PID/status, or the value at the last exec.
func memory(name, key, doc string, known func(*state.Process) uint32) Field {
	mainOnly := strings.HasPrefix(name, "thread.")
	return unsigned(name, Uint, AtEvent, doc, func(c *Context) (uint64, bool) {
		if mainOnly && c.Event.Header().TID != c.Event.Header().PID {
			return 0, false
		}
		if n, ok := c.status(key); ok {
			return n, true
		}
		n := known(c.Proc)
		return uint64(n), n != 0
	})
}

// status is the number on one line of /proc/PID/status.
func (c *Context) status(key string) (uint64, bool) { return statusLine(c.readProc("status"), key) }

func statusLine(status, key string) (uint64, bool) {
	for name, value := range procfs.Fields(status) {
		if name == key {
			first, _, _ := strings.Cut(value, " ")
			n, err := strconv.ParseUint(first, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// faults is a number of /proc/PID/stat, or the value at the last exec.
func faults(name, doc string, now func(procfs.Stat) uint64, known func(*state.Process) uint64) Field {
	return unsigned(name, Uint, AtEvent, doc, func(c *Context) (uint64, bool) {
		if s, err := procfs.ParseStat([]byte(c.readProc("stat"))); err == nil {
			return now(s), true
		}
		return known(c.Proc), true
	})
}

func threads(c *Context) (uint64, bool) {
	if n, ok := c.status("Threads"); ok {
		return n, true
	}
	return uint64(c.Proc.Threads), c.Proc.Threads > 0
}
