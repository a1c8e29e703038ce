package field

import (
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// processFields are the facts about the process of the event and its parent
// that change with an exec at most.
func processFields() []Field {
	return []Field{
		ofProcess("proc.exe", "First argument of the command line (argv[0]).", exe),
		ofParent("proc.pexe", "proc.exe of the parent.", exe),
		ofProcess("proc.exepath", "Path of the executable, as the kernel resolved it.", exePath),
		ofParent("proc.pexepath", "proc.exepath of the parent.", exePath),
		ofProcess("proc.name", "Name of the process: its executable's file name, at most 15 bytes.", comm),
		ofParent("proc.pname", "proc.name of the parent.", comm),
		argsField(),
		ofProcess("proc.cmdline", "Name and arguments of the process, separated by spaces.", cmdline),
		ofParent("proc.pcmdline", "proc.cmdline of the parent.", cmdline),
		countOf("proc.cmdnargs", Uint, "Number of arguments, without the name.", func(p *state.Process) uint64 {
			return uint64(strings.Count(p.Args, "\x00"))
		}),
		countOf("proc.cmdlenargs", Uint, "Length of all arguments together, in bytes.", func(p *state.Process) uint64 {
			return uint64(len(p.Args) - strings.Count(p.Args, "\x00"))
		}),
		str("proc.exeline", AtExec, "Command line: argv[0] and the arguments, separated by spaces.", func(c *Context) (string, bool) {
			start := len(c.buf)
			c.buf = append(c.buf, exe(c.Proc)...)
			if args := args(c.Proc); args != "" {
				c.buf = append(append(c.buf, ' '), args...)
			}
			return c.built(start), true
		}),
		envField(),
		ofProcess("proc.cwd", "Current directory; ends with a slash.", func(p *state.Process) string { return p.CWD }),
		integer("proc.loginshellid", AtEvent, "Process id of the oldest ancestor that is a shell, that is, whose name ends in sh.", loginShell),
		countOf("proc.tty", Uint, "Number of the controlling terminal; 0 if there is no terminal.", func(p *state.Process) uint64 { return uint64(p.TTY) }),
		integer("proc.pid", AtExec, "Process id.", func(c *Context) (int64, bool) { return int64(c.Proc.PID), true }),
		integer("proc.ppid", AtExec, "Process id of the parent.", func(c *Context) (int64, bool) {
			return int64(c.Proc.PPID), c.Proc.PPID >= 0
		}),
		idOf("proc.vpid", "Process id in the process's own pid namespace.", func(p *state.Process) int32 { return p.VPID }),
		integer("proc.pvpid", AtExec, "proc.vpid of the parent.", func(c *Context) (int64, bool) {
			p := c.Table.Parent(c.Proc)
			if p == nil || p.VPID < 0 {
				return 0, false
			}
			return int64(p.VPID), true
		}),
		idOf("proc.sid", "Session id.", func(p *state.Process) int32 { return p.SID }),
		idOf("proc.vpgid", "Process group id, in the process's own pid namespace.", func(p *state.Process) int32 { return p.VPGID }),
		idOf("proc.pgid", "Process group id, in the host's pid namespace.", func(p *state.Process) int32 { return p.PGID }),
		unsigned("proc.duration", RelTime, AtEvent, "Time since the process was started, in ns.", func(c *Context) (uint64, bool) {
			return c.since(c.Proc)
		}),
		unsigned("proc.ppid.duration", RelTime, AtEvent, "Time since the parent was started, in ns.", func(c *Context) (uint64, bool) {
			return c.since(c.Table.Parent(c.Proc))
		}),
		nonzeroOf("proc.pid.ts", RelTime, "When the process was started, in ns since the epoch.", func(p *state.Process) uint64 { return p.ForkTime }),
		unsigned("proc.ppid.ts", RelTime, AtExec, "When the parent was started, in ns since the epoch.", func(c *Context) (uint64, bool) {
			p := c.Table.Parent(c.Proc)
			if p == nil {
				return 0, false
			}
			return p.ForkTime, p.ForkTime != 0
		}),
		factOf("proc.is_sid_leader", "True for the leader of a session.", func(p *state.Process) bool { return p.SID == p.VPID && p.SID >= 0 }),
		factOf("proc.is_vpgid_leader", "True for the leader of a process group, by the ids of its own pid namespace.", func(p *state.Process) bool { return p.VPGID == p.VPID && p.VPGID >= 0 }),
		factOf("proc.is_pgid_leader", "True for the leader of a process group, by the ids of the host.", func(p *state.Process) bool { return p.PGID == p.PID && p.PGID >= 0 }),
		nonzeroOf("proc.pidns_init_start_ts", Uint, "When the first process of the pid namespace was started, in ns since the epoch.", func(p *state.Process) uint64 { return p.PIDNSStart }),
	}
}

// na is Falco's name of an unknown process.
const na = "<NA>"

func orNA(p *state.Process, s string) string {
	if s == "" && !p.Known {
		return na
	}
	return s
}

func comm(p *state.Process) string    { return orNA(p, p.Comm) }
func exe(p *state.Process) string     { return orNA(p, p.Exe) }
func exePath(p *state.Process) string { return p.ExePath }
func cmdline(p *state.Process) string { return orNA(p, p.Cmdline) }

// args are the arguments separated by spaces: the command line without the
// name.
func args(p *state.Process) string {
	if rest, ok := strings.CutPrefix(p.Cmdline, p.Comm); ok {
		return strings.TrimPrefix(rest, " ")
	}
	return ""
}

func argsField() Field {
	return Field{
		Name: "proc.args", Type: String, Stage: AtExec, Arg: ArgAllowed,
		Doc: "Arguments of the process, separated by spaces; proc.args[N] is one argument, counted from 0, or empty if there are fewer.",
		Bind: func(arg string) (Extractor, error) {
			if arg == "" {
				return Extractor{
					Type: String, Stage: AtExec,
					Str:  func(c *Context) (string, bool) { return args(c.Proc), true },
					Each: func(c *Context, yield func(string) bool) bool { return eachEntry(c.Proc.Args, yield) },
				}, nil
			}
			n, err := index(arg)
			if err != nil {
				return Extractor{}, err
			}
			return Extractor{Type: String, Stage: AtExec, Str: func(c *Context) (string, bool) {
				return entry(c.Proc.Args, n), true
			}}, nil
		},
	}
}

// eachEntry calls yield for the entries of a NUL-separated list.
func eachEntry(list string, yield func(string) bool) bool {
	for list != "" {
		var s string
		s, list, _ = strings.Cut(list, "\x00")
		if !yield(s) {
			break
		}
	}
	return true
}

// entry is the nth entry of a NUL-separated list; "" if absent.
func entry(list string, n int) string {
	for {
		s, rest, more := strings.Cut(list, "\x00")
		if n == 0 {
			return s
		}
		if !more {
			return ""
		}
		list, n = rest, n-1
	}
}

func envField() Field {
	return Field{
		Name: "proc.env", Type: String, Stage: AtExec, Arg: ArgAllowed,
		Doc: "Environment of the process, as NAME=VALUE separated by spaces; proc.env[NAME] is the value of one variable, empty if it is not set.",
		Bind: func(arg string) (Extractor, error) {
			if arg == "" {
				return Extractor{Type: String, Stage: AtExec, Str: func(c *Context) (string, bool) {
					return c.spaced(c.Proc.Env), true
				}}, nil
			}
			return Extractor{Type: String, Stage: AtExec, Str: func(c *Context) (string, bool) {
				return variable(c.Proc.Env, arg), true
			}}, nil
		},
	}
}

// variable is the value of a variable in an environment; "" if it is not set.
func variable(env, name string) string {
	for env != "" {
		var s string
		s, env, _ = strings.Cut(env, "\x00")
		if len(s) > len(name) && s[len(name)] == '=' && s[:len(name)] == name {
			return s[len(name)+1:]
		}
	}
	return ""
}

// spaced is a NUL-separated list, separated by spaces.
func (c *Context) spaced(list string) string {
	start := len(c.buf)
	c.buf = append(c.buf, strings.TrimSuffix(list, "\x00")...)
	for i := start; i < len(c.buf); i++ {
		if c.buf[i] == 0 {
			c.buf[i] = ' '
		}
	}
	return c.built(start)
}

// since is the time from p's start to the event; missing when the start is not
// known.
func (c *Context) since(p *state.Process) (uint64, bool) {
	if p == nil || p.ForkTime == 0 || p.ForkTime > c.Time {
		return 0, false
	}
	return c.Time - p.ForkTime, true
}

func loginShell(c *Context) (int64, bool) {
	var shell *state.Process
	for p := c.Proc; p != nil; p = c.Table.Parent(p) {
		if strings.HasSuffix(p.Comm, "sh") {
			shell = p
		}
	}
	if shell == nil {
		return 0, false
	}
	return int64(shell.PID), true
}

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
		return c.keep(appendCaps(c.buf, get(c.Proc))), true
	})
}
