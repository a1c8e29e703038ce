package field

import (
	"fmt"
	"strconv"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// eventFields are the evt.* fields of syscalls and tracepoints, except the
// arguments (arg.go) and the fields of opens (evt_open.go).
func eventFields() []Field {
	zero := func(*Context) (uint64, bool) { return 0, true }
	one := func(*Context) (uint64, bool) { return 1, true }
	fields := []Field{
		unsigned("evt.latency", RelTime, AtLoad, "Always 0: the sensor sees only the end of a syscall.", zero).with(Deprecated),
		unsigned("evt.latency.s", RelTime, AtLoad, "Always 0: the sensor sees only the end of a syscall.", zero).with(Deprecated),
		unsigned("evt.latency.ns", RelTime, AtLoad, "Always 0: the sensor sees only the end of a syscall.", zero).with(Deprecated),
		str("evt.latency.human", AtLoad, "Always 0ns: the sensor sees only the end of a syscall.", func(*Context) (string, bool) { return "0ns", true }).with(Deprecated),
		unsigned("evt.deltatime", RelTime, AtEvent, "Time since the previous event that the sensor evaluated, in ns.", func(c *Context) (uint64, bool) {
			return c.after(c.previous), true
		}),
		unsigned("evt.deltatime.s", RelTime, AtEvent, "Time since the previous event that the sensor evaluated, in whole seconds.", func(c *Context) (uint64, bool) {
			return c.after(c.previous) / 1e9, true
		}),
		unsigned("evt.deltatime.ns", RelTime, AtEvent, "Nanoseconds of evt.deltatime beyond its whole seconds.", func(c *Context) (uint64, bool) {
			return c.after(c.previous) % 1e9, true
		}),
		str("evt.dir", AtLoad, "Always <: the sensor sees only the end of a syscall.", func(*Context) (string, bool) { return "<", true }).with(Deprecated),
		str("evt.type", AtLoad, "Name of the syscall, or of an event that is not a syscall, such as procexit.", eventType),
		typeIs(),
		str("syscall.type", AtLoad, "As evt.type, but missing for events that are not syscalls.", func(c *Context) (string, bool) {
			if c.Event.Info().Origin != event.Syscall {
				return "", false
			}
			return eventType(c)
		}),
		str("evt.category", AtEvent, "Category of the event: file, net, process, memory, IPC, user, signal, time, ... Reads, writes and similar syscalls have the category of their descriptor: file, net, ipc, other or unknown.", func(c *Context) (string, bool) {
			return category(c), true
		}),
		integer("evt.cpu", AtEvent, "Number of the CPU on which the event happened.", func(c *Context) (int64, bool) {
			return int64(c.Event.Header().CPU), true
		}),
		fixed("evt.buffer", AtEvent, "Data that was read or written: its first bytes, as many as falco_libs.snaplen.", Extractor{Type: Bytes, Str: buffer}),
		unsigned("evt.buflen", Uint, AtEvent, "Number of bytes read or written.", func(c *Context) (uint64, bool) {
			res, ok := result(c)
			return uint64(res), ok && res >= 0 && c.Event.Info().Traits&(event.ReadsFD|event.WritesFD) != 0
		}),
		str("evt.res", AtEvent, "SUCCESS, or the name of the error, such as ENOENT.", resultName).inKernel(),
		integer("evt.rawres", AtEvent, "Return value of the syscall, negative for errors.", result).inKernel(),
		boolean("evt.failed", AtEvent, "True for syscalls that returned an error.", func(c *Context) (uint64, bool) {
			res, ok := result(c)
			return b2u(res < 0), ok
		}).inKernel(),
		trait("evt.is_io", "True for events that read from or write to a descriptor.", event.ReadsFD|event.WritesFD),
		trait("evt.is_io_read", "True for events that read from a descriptor.", event.ReadsFD),
		trait("evt.is_io_write", "True for events that write to a descriptor.", event.WritesFD),
		str("evt.io_dir", AtLoad, "read or write, for events that read from or write to a descriptor.", direction),
		trait("evt.is_wait", "True for syscalls that wait, such as nanosleep and poll.", event.Waits),
		unsigned("evt.wait_latency", RelTime, AtLoad, "Always 0: the sensor sees only the end of a syscall.", zero).with(Deprecated),
		boolean("evt.is_syslog", AtEvent, "True for writes to the system log's socket.", func(c *Context) (uint64, bool) {
			return b2u(isSyslog(c)), true
		}),
		unsigned("evt.count", Uint, AtLoad, "Always 1; for programs that add up events.", one),
		errorCount("evt.count.error", "1 for events that returned an error; missing otherwise.", func(*Context) bool { return true }),
		errorCount("evt.count.error.file", "1 for errors of opens and of calls on files; missing otherwise.", isFileError),
		errorCount("evt.count.error.net", "1 for errors of sockets; missing otherwise.", isNetError),
		errorCount("evt.count.error.memory", "1 for errors of memory management; missing otherwise.", isMemoryError),
		errorCount("evt.count.error.other", "1 for all other errors; missing otherwise.", func(c *Context) bool {
			return !isFileError(c) && !isNetError(c) && !isMemoryError(c)
		}),
		unsigned("evt.count.exit", Uint, AtLoad, "Always 1: the sensor sees only the end of a syscall.", one),
		around(),
	}
	return fields
}

// typeNames are evt.type by kind. fchmodat2 is a fchmodat with flags, and goes
// by that name so that rules on fchmodat see it.
var typeNames = func() (names [event.NumKinds]string) {
	for k := range names {
		names[k] = event.Kind(k).String()
	}
	names[event.KindFchmodat2] = event.KindFchmodat.String()
	return names
}()

func eventType(c *Context) (string, bool) {
	k := c.Event.Kind()
	switch k {
	case event.KindSyscall:
		return syscallID(c).String(), true
	case event.KindExecveat:
		if c.Event.Int(0) == 0 { // as Falco has it, see docs/compatibility.md
			k = event.KindExecve
		}
	case event.KindAsyncevent:
		return c.Event.Str(event.AsynceventName)
	}
	return typeNames[k], true
}

func syscallID(c *Context) event.ID {
	if n := c.Event.Header().Syscall; n != event.NoSyscall {
		return event.ID(n)
	}
	return event.ID(c.Event.Uint(0))
}

func typeIs() Field {
	return Field{
		Name: "evt.type.is", Type: Uint, Stage: AtLoad, Arg: ArgRequired, dotted: true,
		Doc: "1 if the event has the type in the argument, as in evt.type.is.open; otherwise 0.",
		Bind: func(arg string) (Extractor, error) {
			_, isKind := event.KindByName(arg)
			_, isSyscall := event.SyscallByName(arg)
			if !isKind && !isSyscall {
				return Extractor{}, fmt.Errorf("unknown event type %s", arg)
			}
			return Extractor{Type: Uint, Stage: AtLoad, Uint: func(c *Context) (uint64, bool) {
				name, _ := eventType(c)
				return b2u(name == arg), true
			}}, nil
		},
	}
}

func trait(name, doc string, t event.Traits) Field {
	return boolean(name, AtLoad, doc, func(c *Context) (uint64, bool) {
		return b2u(c.Event.Info().Traits&t != 0), true
	})
}

func direction(c *Context) (string, bool) {
	switch t := c.Event.Info().Traits; {
	case t&event.ReadsFD != 0:
		return "read", true
	case t&event.WritesFD != 0:
		return "write", true
	}
	return "", false
}

// hasResult says for each kind whether its first parameter is the return value
// of the syscall.
var hasResult = func() (has [event.NumKinds]bool) {
	for k := range has {
		info := event.Kind(k).Info()
		has[k] = info.Origin == event.Syscall && len(info.Params) > 0 &&
			(info.Params[0].Name == "res" || info.Params[0].Name == "fd")
	}
	return has
}()

func result(c *Context) (int64, bool) {
	if !hasResult[c.Event.Kind()] {
		return 0, false
	}
	return c.Event.Int(0), true
}

func resultName(c *Context) (string, bool) {
	res, ok := result(c)
	switch {
	case !ok:
		return "", false
	case res >= 0:
		return "SUCCESS", true
	}
	if name := errnoName(res); name != "" {
		return name, true
	}
	return c.keep(appendInt(c.buf, -res)), true
}

func buffer(c *Context) (string, bool) {
	slot := dataSlots[c.Event.Kind()]
	if slot < 0 || c.Event.Info().Traits&(event.ReadsFD|event.WritesFD) == 0 {
		return "", false
	}
	s, ok := c.Event.Str(int(slot))
	return c.snap(s), ok
}

var dataSlots = slotsOf("data")

// snap truncates a buffer to the snaplen.
func (c *Context) snap(s string) string {
	if n := c.static().Snaplen; n > 0 && len(s) > n {
		return s[:n]
	}
	return s
}

// slotsOf are the slots of the parameter of that name by kind, -1 for none.
func slotsOf(name string) (slots [event.NumKinds]int16) {
	for k := range slots {
		slots[k] = -1
		for i, p := range event.Kind(k).Info().Params {
			if p.Name == name {
				slots[k] = int16(i)
				break
			}
		}
	}
	return slots
}

// around is evt.around[T], for conditions such as evt.around[1700000000000000000]=500.
// The distance is rounded up, so that = is true for exactly the window.
func around() Field {
	return Field{
		Name: "evt.around", Type: Uint, Stage: AtEvent, Arg: ArgRequired, Flags: FilterOnly | NoRHS | NoTransformer | Within,
		Doc: "evt.around[T]=N is true for events at most N ms before or after T, in ns since the epoch. Only the operator = is allowed.",
		Bind: func(arg string) (Extractor, error) {
			at, err := strconv.ParseUint(arg, 10, 64)
			if err != nil {
				return Extractor{}, fmt.Errorf("argument %q: expected a time in ns since the epoch", arg)
			}
			return Extractor{Type: Uint, Stage: AtEvent, Uint: func(c *Context) (uint64, bool) {
				d := c.Time - at
				if at > c.Time {
					d = at - c.Time
				}
				return (d + 999_999) / 1_000_000, true
			}}, nil
		},
	}
}
