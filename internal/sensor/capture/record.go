package capture

import (
	"math"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Silent says whether an event only describes state: other readers do not get
// it, or get it in another form.
func Silent(k event.Kind) bool {
	switch k {
	case event.KindTask, event.KindProcmove, event.KindUseradded, event.KindUserdeleted, event.KindGroupadded, event.KindGroupdeleted:
		return true
	}
	return false
}

// Opened returns facts that the process table lacks: the threads of a process,
// except its main one, and its open files.
type Opened interface {
	Threads(pid int64) []int64
	FDs(pid int64) []FD
}

// Lists writes the state before the first event, from the task, useradded and
// groupadded events in wire, which holds them back to back as in memory.
func (c *Writer) Lists(wire []byte, host Opened) error {
	b := c.order.AppendUint64(c.begin(), schema())
	c.block(blockWire, append(b, wire...))
	var processes []Process
	users := c.order.AppendUint32(nil, 0)[:0]
	var v event.View
	for rest := wire; len(rest) > 0; {
		ev, after, err := cutWire(rest)
		if err != nil {
			return err
		}
		rest = after
		if err := v.Reset(ev); err != nil {
			return err
		}
		switch v.Kind() {
		case event.KindTask:
			p := processOf(&v)
			c.known[p.PID] = p
			processes = append(processes, p)
			for _, tid := range host.Threads(p.PID) {
				processes = append(processes, Process{TID: tid, PID: p.PID, PTID: p.PTID, VTID: tid, VPID: p.VPID, Comm: p.Comm, Exe: p.Exe, ExePath: p.ExePath})
			}
		case event.KindUseradded, event.KindGroupadded:
			users = c.account(users, &v)
		}
	}
	c.block(blockUsers2, append(c.begin(), users...))
	c.Processes(processes...)
	for _, p := range processes {
		if p.TID == p.PID {
			if fds := host.FDs(p.PID); len(fds) > 0 {
				c.FDs(p.PID, fds...)
			}
		}
	}
	return c.err
}

// Limits of libs for the strings in lists, without the NUL that it adds
// (SCAP_MAX_PATH_SIZE, SCAP_MAX_ARGS_SIZE).
const (
	maxListPath = 1023
	maxListArgs = 4095
)

func processOf(v *event.View) Process {
	h := v.Header()
	str := func(slot, most int) string {
		b, _ := v.Bytes(slot)
		return string(b[:min(len(b), most)])
	}
	exe, args := str(event.TaskArgv, math.MaxInt), ""
	for i := range len(exe) {
		if exe[i] == 0 {
			exe, args = exe[:i], exe[i+1:]
			break
		}
	}
	flags := v.Uint(event.TaskFlags)
	return Process{
		TID: int64(h.PID), PID: int64(h.PID), PTID: int64(h.PPID), SID: v.Int(event.TaskSid),
		VPGID: v.Int(event.TaskVpgid), PGID: v.Int(event.TaskPgid), VTID: v.Int(event.TaskVtgid), VPID: v.Int(event.TaskVtgid),
		Comm: str(event.TaskComm, maxListPath), Exe: exe[:min(len(exe), maxListPath)], ExePath: str(event.TaskExepath, maxListPath),
		CWD: str(event.TaskCwd, maxListPath), Root: str(event.TaskRoot, maxListPath),
		Args: args[:min(len(args), maxListArgs)], Env: str(event.TaskEnv, maxListArgs), Cgroups: str(event.TaskCgroups, maxListArgs),
		UID: h.UID, GID: h.GID, LoginUID: h.LoginUID, TTY: uint32(v.Uint(event.TaskTty)), FDLimit: v.Uint(event.TaskFdlimit),
		Inheritable: v.Uint(event.TaskCapInheritable), Permitted: v.Uint(event.TaskCapPermitted),
		Effective: v.Uint(event.TaskCapEffective), PIDNSStart: v.Uint(event.TaskPidnsInitStartTs),
		ExeIno: v.Uint(event.TaskExeInoNum), ExeCTime: v.Uint(event.TaskExeInoCtime), ExeMTime: v.Uint(event.TaskExeInoMtime),
		Writable: flags&1 != 0, UpperLayer: flags&2 != 0,
	}
}

// account appends a user or group of the host to the list; those of containers
// are for us alone.
func (c *Writer) account(b []byte, v *event.View) []byte {
	info := v.Info()
	if id, _ := v.Str(info.Slot("container_id")); id != "" {
		return b
	}
	str := func(b []byte, name string) []byte {
		s, _ := v.Str(info.Slot(name))
		return c.str(b, s[:min(len(s), maxListPath)])
	}
	gid := uint32(v.Uint(info.Slot("gid")))
	return c.sized(b, true, func(b []byte) []byte {
		if v.Kind() == event.KindGroupadded {
			return str(c.order.AppendUint32(append(b, 1), gid), "name")
		}
		b = c.order.AppendUint32(append(b, 0), uint32(v.Uint(info.Slot("uid"))))
		return str(str(str(c.order.AppendUint32(b, gid), "name"), "home"), "shell")
	})
}

// Record writes an event, and for our Reader the silent ones before it.
func (c *Writer) Record(silent []byte, v *event.View) error {
	silent, err := c.learn(silent)
	if err != nil {
		return err
	}
	if dir, ok := v.CWD(); ok {
		if err := c.moved(silent, v.Header(), dir); err != nil {
			return err
		}
		silent = nil
	}
	return c.write(silent, v)
}

// write writes an event, behind silent ones that are known already.
func (c *Writer) write(silent []byte, v *event.View) error {
	h := v.Header()
	tid, std := int64(h.TID), v
	switch v.Kind() {
	case event.KindChdir, event.KindFchdir:
		c.enter(v)
	case event.KindProcfork:
		tid = v.Int(event.ProcforkChild)
		var clone event.View
		if err := clone.Reset(c.cloneOf(v)); err != nil {
			return err
		}
		std = &clone
	case event.KindExecve, event.KindExecveat:
		c.exec(v)
	case event.KindProcexit:
		if h.Flags&event.ThreadExit == 0 {
			delete(c.known, int64(h.PID))
		}
	}
	e := &c.std
	encoder{c.order}.encode(e, std)

	le := c.order
	b := le.AppendUint16(c.begin(), h.CPU)
	at := len(b)
	b = le.AppendUint64(le.AppendUint64(b, h.Time), uint64(tid))
	b = le.AppendUint32(le.AppendUint16(le.AppendUint32(b, 0), e.code), uint32(len(e.lens)))
	large := e.large(len(silent) + int(h.Len))
	for _, n := range e.lens {
		if large {
			b = le.AppendUint32(b, uint32(n))
		} else {
			b = le.AppendUint16(b, uint16(n))
		}
	}
	b = append(b, e.data...)
	le.PutUint32(b[at+16:], uint32(len(b)-at))
	b = append(append(le.AppendUint32(b, wireMagic), silent...), v.Raw()...)
	typ := uint32(blockEvent2)
	if large {
		typ = blockEvent2Large
	}
	c.block(typ, b)
	return c.err
}

// large says whether the event, followed by that many bytes, needs a block of
// the type for large events: libs reads 64 KiB of others (READER_BUF_SIZE).
func (e *encoded) large(behind int) bool {
	const most, overhead = 64 << 10, 64
	return overhead+4*len(e.lens)+len(e.data)+behind > most
}

// learn notes the processes of silent events, for the clones of their
// children, and writes the directories that silent events tell. It returns the
// silent events that are not written yet.
func (c *Writer) learn(silent []byte) ([]byte, error) {
	var v event.View
	for rest := silent; len(rest) > 0; {
		ev, after, err := cutWire(rest)
		if err != nil {
			return nil, err
		}
		if err := v.Reset(ev); err != nil {
			return nil, err
		}
		if v.Kind() == event.KindTask {
			p := processOf(&v)
			c.known[p.PID] = p
		}
		if dir, ok := v.CWD(); ok {
			if err := c.moved(silent[:len(silent)-len(after)], v.Header(), dir); err != nil {
				return nil, err
			}
			silent = after
		}
		rest = after
	}
	return silent, nil
}

var chdirID, _ = event.SyscallByName("chdir")

// moved writes the change of directory that the event with this header tells
// of, for readers that do not look behind its parameters. The silent events come
// before it: they may describe its process.
func (c *Writer) moved(silent []byte, h *event.Header, dir string) error {
	change := *h
	change.Res, change.Flags, change.Syscall = 0, 0, uint16(chdirID)
	c.chdir.Start(event.KindChdir, change)
	c.chdir.Str(event.ChdirPath, dir)
	c.chdir.Str(event.ChdirCwd, dir)
	var v event.View
	if err := v.Reset(c.chdir.Finish()); err != nil {
		return err
	}
	return c.write(silent, &v)
}

// enter notes the directory of a process, for the clones of its children.
func (c *Writer) enter(v *event.View) {
	p := c.known[int64(v.Header().PID)]
	if dir, ok := v.Str(v.Info().Slot("cwd")); ok && v.Header().Res >= 0 {
		p.CWD = strings.Clone(dir[:min(len(dir), maxListPath)])
		c.known[int64(v.Header().PID)] = p
	}
}

func (c *Writer) exec(v *event.View) {
	if v.Header().Res < 0 {
		return
	}
	p := c.known[int64(v.Header().PID)]
	str := func(slot int) string {
		b, _ := v.Bytes(slot)
		return string(b)
	}
	p.Exe, p.Args, p.Comm = str(event.ExecveExe), str(event.ExecveArgs), str(event.ExecveComm)
	p.CWD, p.Cgroups = str(event.ExecveCwd), str(event.ExecveCgroups)
	c.known[int64(v.Header().PID)] = p
}

// cloneOf is the return of the clone in the child, which tells other readers
// of a fork.
func (c *Writer) cloneOf(fork *event.View) []byte {
	b := &c.clone
	b.Start(event.KindClone, *fork.Header())
	p, child := c.known[int64(fork.Header().PID)], fork.Int(event.ProcforkChild)
	pid := child
	if fork.Int(event.ProcforkVpid) != fork.Int(event.ProcforkVtid) {
		pid = int64(fork.Header().PID) // a thread
	} else {
		c.known[child] = p
	}
	b.Int(event.CloneTid, child)
	b.Int(event.ClonePid, pid)
	b.Int(event.ClonePtid, fork.Int(event.ProcforkPpid))
	b.Uint(event.CloneFlags, fork.Uint(event.ProcforkFlags))
	b.Uint(event.CloneUid, fork.Uint(event.ProcforkUid))
	b.Uint(event.CloneGid, fork.Uint(event.ProcforkGid))
	b.Int(event.CloneVtid, fork.Int(event.ProcforkVtid))
	b.Int(event.CloneVpid, fork.Int(event.ProcforkVpid))
	b.Uint(event.ClonePidnsInitStartTs, fork.Uint(event.ProcforkPidnsInitStartTs))
	b.Uint(event.CloneFdlimit, p.FDLimit)
	b.Str(event.CloneExe, p.Exe)
	b.Str(event.CloneArgs, p.Args)
	b.Str(event.CloneCwd, p.CWD)
	b.Str(event.CloneComm, p.Comm)
	b.Str(event.CloneCgroups, p.Cgroups)
	return b.Finish()
}
