package capture

import (
	"fmt"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Machine describes the machine that a capture was made on.
type Machine struct {
	CPUs        uint32
	MemoryBytes uint64
	MaxPID      uint64
	Hostname    string
	BootTime    uint64 // ns since the epoch; 0 if not told
}

func (r *Reader) readMachine(c cursor) {
	m := Machine{CPUs: c.u32(), MemoryBytes: c.u64(), MaxPID: c.u64()}
	host, _, _ := strings.Cut(string(c.take(128)), "\x00")
	m.Hostname = host
	m.BootTime = c.u64()
	r.machine = m
}

// A longer list, of all lists of a section together, is not genuine.
const maxUsers = 1 << 16

func (r *Reader) readUsers(typ uint32, c cursor) error {
	const user = 0
	for ; len(c.b) >= 4; r.users++ {
		if r.users == maxUsers {
			return fmt.Errorf("user list: more than %d entries", maxUsers)
		}
		e := c
		if typ == blockUsers2 {
			e = c.sub(true)
		}
		var err error
		if e.u8() == user {
			uid, gid := e.u32(), e.u32()
			name, home, shell := e.str(), e.str(), e.str()
			err = r.emitUser(event.KindUseradded, uid, gid, name, home, shell)
		} else {
			gid := e.u32()
			err = r.emitUser(event.KindGroupadded, 0, gid, e.str(), nil, nil)
		}
		if e.short || c.short {
			err = errShort
		}
		if err != nil {
			return fmt.Errorf("user list: %w", err)
		}
		if typ != blockUsers2 {
			c = e
		}
	}
	return nil
}

func (r *Reader) emitUser(k event.Kind, uid, gid uint32, name, home, shell []byte) error {
	if r.exact { // blockWire has it
		return nil
	}
	info := k.Info()
	b := &r.fork
	b.Start(k, event.Header{Syscall: event.NoSyscall})
	if i := info.Slot("uid"); i >= 0 {
		b.Uint(i, uint64(uid))
		b.Bytes(info.Slot("home"), home)
		b.Bytes(info.Slot("shell"), shell)
	}
	b.Uint(info.Slot("gid"), uint64(gid))
	b.Bytes(info.Slot("name"), name)
	return r.pending.add(b.Finish())
}

// entry of a process list; a thread of a process has an entry of its own.
type processEntry struct {
	tid, pid, ptid, sid, vpgid    int64
	comm, exe, path, args, cwd    []byte
	fdlimit                       uint64
	flags, uid, gid               uint32
	vmSize, vmRSS, vmSwap         uint32
	pfMajor, pfMinor              uint64
	env                           []byte
	vtid, vpid                    int64
	cgroups, root                 []byte
	pidns, inh, perm, eff         uint64
	tty, loginuid                 uint32
	writable, upper, memfd, lower bool
	ino, ctime, mtime             uint64
	pgid                          int64
}

// readProcesses reads a process list. Versions up to 9 have added members,
// mostly in the middle; version 9 entries have a length, by which members at
// the end are known to be there.
func (r *Reader) readProcesses(version int, c cursor) error {
	for len(c.b) >= 4 {
		e := c
		if version >= 9 {
			e = c.sub(true)
		}
		var p processEntry
		p.read(version, &e)
		if e.short || c.short {
			return fmt.Errorf("process list: %w", errShort)
		}
		if version < 9 {
			c = e
		}
		if len(r.world.threads) >= maxThreads {
			return fmt.Errorf("process list: more than %d threads", maxThreads)
		}
		if err := r.addProcess(&p); err != nil {
			return fmt.Errorf("process list: %w", err)
		}
	}
	return nil
}

func (p *processEntry) read(version int, e *cursor) {
	p.sid, p.vpgid, p.vtid, p.vpid, p.pgid, p.loginuid = -1, -1, -1, -1, -1, noID
	p.tid, p.pid, p.ptid = int64(e.u64()), int64(e.u64()), int64(e.u64())
	if version >= 6 {
		p.sid = int64(e.u64())
	}
	if version >= 8 {
		p.vpgid = int64(e.u64())
	}
	p.comm, p.exe = e.str(), e.str()
	if version >= 7 {
		p.path = e.str()
	}
	p.args, p.cwd, p.fdlimit = e.str(), e.str(), e.u64()
	p.flags, p.uid, p.gid = e.u32(), e.u32(), e.u32()
	if version >= 2 {
		p.vmSize, p.vmRSS, p.vmSwap = e.u32(), e.u32(), e.u32()
		p.pfMajor, p.pfMinor = e.u64(), e.u64()
	}
	if version >= 3 {
		p.env = e.str()
	}
	if version >= 4 {
		p.vtid, p.vpid, p.cgroups = int64(e.u64()), int64(e.u64()), e.str()
	}
	if version >= 5 {
		p.root = e.str()
	}
	if version >= 9 {
		p.readTail(e)
	}
}

// readTail reads the members at the end of version 9. Two members were put
// before the others later; files without them have no more than 29 bytes left.
func (p *processEntry) readTail(e *cursor) {
	if len(e.b) > 29 {
		p.pidns, p.tty = e.opt64(), e.opt32(0)
	}
	p.loginuid = e.opt32(noID)
	p.writable = e.opt8() != 0
	p.inh, p.perm, p.eff = e.opt64(), e.opt64(), e.opt64()
	p.upper = e.opt8() != 0
	p.ino, p.ctime, p.mtime = e.opt64(), e.opt64(), e.opt64()
	p.memfd, p.lower = e.opt8() != 0, e.opt8() != 0
	if len(e.b) >= 8 {
		p.pgid = int64(e.u64())
	}
}

// addProcess puts an entry into the world, and sends it on if it is a process.
func (r *Reader) addProcess(e *processEntry) error {
	w := &r.world
	tid, pid := int32(e.tid), int32(e.pid)
	p := w.process(pid)
	if tid != pid {
		if p == nil { // its main thread comes later
			p = w.newProc(pid)
			w.add(pid, p)
		}
		w.add(tid, p).vtid = int32(e.vtid)
		return nil
	}
	if p == nil {
		p = w.newProc(pid)
		w.add(pid, p)
	}
	t := w.threads[pid]
	if t == nil {
		return nil // the table is full
	}
	t.vtid = pid
	if e.vtid > 0 {
		t.vtid = int32(e.vtid)
	}
	p.vpid = t.vtid
	p.ppid, p.parent = int32(e.ptid), nil
	r.unlinked = true
	p.sid, p.vpgid, p.pgid = int32(e.sid), int32(e.vpgid), int32(e.pgid)
	p.uid, p.gid, p.loginuid, p.tty = e.uid, e.gid, e.loginuid, e.tty
	p.inh, p.perm, p.eff = e.inh, e.perm, e.eff
	p.cwd = r.paths.get(trimSlash(e.cwd))
	if len(e.root) > 0 {
		p.root = r.paths.get(e.root)
	}
	p.setCgroups(r.paths.get(e.cgroups))
	return r.emitTask(t, e)
}

func trimSlash(b []byte) []byte {
	if n := len(b); n > 1 && b[n-1] == '/' {
		return b[:n-1]
	}
	return b
}

func (r *Reader) emitTask(t *thread, e *processEntry) error {
	if r.exact { // blockWire has it
		return nil
	}
	p, b := t.p, &r.fork
	b.Start(event.KindTask, t.header(0, 0))
	b.Int(event.TaskPpid, int64(p.ppid))
	b.Int(event.TaskPgid, int64(p.pgid))
	b.Int(event.TaskVpgid, int64(p.vpgid))
	b.Int(event.TaskSid, int64(p.sid))
	b.Int(event.TaskVtgid, int64(p.vpid))
	b.Int(event.TaskVpid, int64(t.vtid))
	b.Bytes(event.TaskComm, e.comm)
	b.Bytes(event.TaskExepath, e.path)
	argv := append(append(r.scratch[:0], e.exe...), 0)
	r.scratch = append(argv, e.args...)
	b.Bytes(event.TaskArgv, upTo(r.scratch))
	b.Bytes(event.TaskEnv, upTo(e.env))
	b.Bytes(event.TaskCwd, e.cwd)
	b.Bytes(event.TaskCgroups, e.cgroups)
	b.Str(event.TaskRoot, p.root)
	b.Uint(event.TaskFlags, exeFlags(e))
	b.Uint(event.TaskFdlimit, e.fdlimit)
	b.Uint(event.TaskEuid, uint64(e.uid))
	b.Uint(event.TaskEgid, uint64(e.gid))
	b.Uint(event.TaskCapPermitted, e.perm)
	b.Uint(event.TaskCapEffective, e.eff)
	b.Uint(event.TaskCapInheritable, e.inh)
	b.Uint(event.TaskExeInoNum, e.ino)
	b.Uint(event.TaskExeInoCtime, e.ctime)
	b.Uint(event.TaskExeInoMtime, e.mtime)
	b.Uint(event.TaskVmSize, uint64(e.vmSize))
	b.Uint(event.TaskVmRss, uint64(e.vmRSS))
	b.Uint(event.TaskVmSwap, uint64(e.vmSwap))
	b.Uint(event.TaskPgftMaj, e.pfMajor)
	b.Uint(event.TaskPgftMin, e.pfMinor)
	b.Uint(event.TaskPidnsInitStartTs, e.pidns)
	b.Uint(event.TaskTty, uint64(e.tty))
	b.Uint(event.TaskLoginuid, uint64(e.loginuid))
	b.Uint(event.TaskNthreads, 1)
	return r.pending.add(b.Finish())
}

// upTo is the part of a list of strings that is kept.
func upTo(list []byte) []byte { return list[:min(len(list), maxList)] }

// maxList is the longest command line or environment, in bytes, that the
// process table keeps.
const maxList = 4096

// exeFlags are the bits of Falco's execve_flags.
func exeFlags(e *processEntry) (flags uint64) {
	for i, on := range []bool{e.writable, e.upper, e.memfd, e.lower} {
		if on {
			flags |= 1 << i
		}
	}
	return flags
}
