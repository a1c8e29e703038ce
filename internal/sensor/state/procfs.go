package state

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/linux/boottime"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// facts are the facts about a process from /proc.
type facts struct {
	start uint64 // ns since boot, of the resolution of clock ticks
	time  uint64 // ns since boot, when it was read
	epoch uint64 // offset to add to a time since boot

	comm, exePath, cwd, root, argv, env, cgroups string

	ppid, vpid, sid, pgid, vpgid, threads int32
	uid, gid, loginuid, tty               uint32
	capInh, capPrm, capEff                uint64
	fdlimit, majFault, minFault           uint64
	vmSize, vmRSS, vmSwap                 uint32
	exeFlags                              event.ExeFlags
	exeIno, exeCTime, exeMTime            uint64
	mntns, pidns                          uint32
}

// procReader reads processes from a mounted procfs.
type procReader struct {
	root  string
	clock func() time.Duration // since boot
	buf   []byte
}

// maxList is how much of a command line or environment is kept, its last NUL
// included, as in events.
const maxList = 4096

func newProcReader(root string, clock func() time.Duration) *procReader {
	if clock == nil {
		clock = boottime.Now
	}
	return &procReader{root: root, clock: clock, buf: make([]byte, 16<<10)}
}

// pids lists the processes.
func (r *procReader) pids() ([]int32, error) {
	all, err := procfs.Root(r.root).PIDs()
	pids := make([]int32, len(all))
	for i, pid := range all {
		pids[i] = int32(pid)
	}
	return pids, err
}

// exists says whether there is a process with that pid.
func (r *procReader) exists(pid int32) bool {
	return unix.Access(r.path(pid, "stat"), unix.F_OK) == nil
}

// read fills f; false if the process does not exist, or has gone. Start time is
// read first and last, so that the facts are those of one process.
func (r *procReader) read(pid int32, f *facts) bool {
	*f = facts{loginuid: noID, sid: -1, vpgid: -1, vpid: -1}
	f.time = uint64(r.clock())
	f.epoch = uint64(time.Now().UnixNano()) - f.time
	if !r.readStat(pid, f) || !r.readStatus(pid, f) {
		return false
	}
	f.exePath = r.link(pid, "exe")
	f.cwd, f.root = r.link(pid, "cwd"), r.link(pid, "root")
	f.mntns, f.pidns = nsInode(r.link(pid, "ns/mnt")), nsInode(r.link(pid, "ns/pid"))
	f.argv, f.env = r.list(pid, "cmdline"), r.list(pid, "environ")
	f.cgroups, _ = r.cgroups(pid)
	if n, err := strconv.ParseUint(string(r.file(pid, "loginuid")), 10, 32); err == nil {
		f.loginuid = uint32(n)
	}
	r.readLimits(pid, f)
	r.statExe(pid, f)
	var again facts
	return r.readStat(pid, &again) && again.start == f.start
}

func (r *procReader) path(pid int32, name string) string {
	return r.root + "/" + strconv.Itoa(int(pid)) + "/" + name
}

// file reads a file of a process, which may have chosen its length, up to the
// size of the buffer, which it returns; nil if it cannot.
func (r *procReader) file(pid int32, name string) []byte {
	fd, err := unix.Open(r.path(pid, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	n := 0
	for n < len(r.buf) {
		m, err := unix.Read(fd, r.buf[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || m <= 0 {
			break
		}
		n += m
	}
	return r.buf[:n]
}

func (r *procReader) link(pid int32, name string) string {
	var b [unix.PathMax]byte
	n, err := unix.Readlink(r.path(pid, name), b[:])
	if err != nil || n <= 0 {
		return ""
	}
	return strings.TrimSuffix(string(b[:n]), " (deleted)")
}

func (r *procReader) list(pid int32, name string) string {
	b := r.file(pid, name)
	if len(b) > maxList {
		b = b[:maxList]
		b[maxList-1] = 0
	}
	return string(b)
}

// readStat reads /proc/PID/stat.
func (r *procReader) readStat(pid int32, f *facts) bool {
	s, err := procfs.Root(r.root).Stat(int(pid))
	if err != nil {
		return false
	}
	f.comm, f.ppid, f.pgid, f.tty = s.Comm, s.PPID, s.PGID, s.TTY
	f.minFault, f.majFault, f.start = s.MinorFaults, s.MajorFaults, uint64(boottime.Of(s.StartTime()))
	return true
}

// readStatus reads /proc/PID/status.
func (r *procReader) readStatus(pid int32, f *facts) bool {
	s, err := procfs.Root(r.root).Status(int(pid))
	if err != nil {
		return false
	}
	f.uid, f.gid, f.threads = s.UID, s.GID, s.Threads
	f.vpid, f.vpgid, f.sid = s.VPID, s.VPGID, s.VSID
	f.capInh, f.capPrm, f.capEff = s.CapInh, s.CapPrm, s.CapEff
	f.vmSize, f.vmRSS, f.vmSwap = s.VMSize, s.VMRSS, s.VMSwap
	return true
}

// readLimits reads the soft limit of open files.
func (r *procReader) readLimits(pid int32, f *facts) {
	_, rest, ok := bytes.Cut(r.file(pid, "limits"), []byte("Max open files"))
	if v := bytes.Fields(rest); ok && len(v) > 0 {
		f.fdlimit, _ = strconv.ParseUint(string(v[0]), 10, 64) // "unlimited" is 0
	}
}

// statExe looks at the executable itself, which /proc/PID/exe reaches even
// when it has been deleted or is in another mount namespace.
func (r *procReader) statExe(pid int32, f *facts) {
	var st unix.Stat_t
	if unix.Stat(r.path(pid, "exe"), &st) != nil {
		return
	}
	f.exeIno = st.Ino
	f.exeCTime, f.exeMTime = uint64(st.Ctim.Nano()), uint64(st.Mtim.Nano())
	if f.uid == 0 || (st.Uid == f.uid && st.Mode&0o200 != 0) || (st.Gid == f.gid && st.Mode&0o020 != 0) || st.Mode&0o002 != 0 {
		f.exeFlags |= event.ExeWritable
	}
	if strings.HasPrefix(f.exePath, "/memfd:") {
		f.exeFlags |= event.ExeFromMemfd
	}
}

// cgroups reads /proc/PID/cgroup into the form of events: "SUBSYSTEM=PATH"
// entries, NUL-separated.
func (r *procReader) cgroups(pid int32) (string, bool) {
	cgroups, err := procfs.Root(r.root).Cgroups(int(pid))
	if err != nil {
		return "", false
	}
	var out []byte
	for _, c := range cgroups {
		out = append(append(append(out, c.Subsystems...), '='), c.Path...)
		out = append(out, 0)
	}
	return string(out), true
}

// nsInode is the number in "mnt:[4026531841]".
func nsInode(link string) uint32 {
	_, n, _ := strings.Cut(strings.TrimSuffix(link, "]"), "[")
	ino, _ := strconv.ParseUint(n, 10, 32)
	return uint32(ino)
}
