package state

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// facts is what /proc tells of a process.
type facts struct {
	start uint64 // ns since boot, of the resolution of clock ticks
	time  uint64 // ns since boot, when it was read
	epoch uint64 // what to add to a time since boot

	comm, exePath, cwd, root, argv, env, cgroups string

	ppid, vpid, sid, pgid, vpgid, threads int32
	uid, gid, loginuid, tty               uint32
	capInh, capPrm, capEff                uint64
	fdlimit, majFault, minFault           uint64
	vmSize, vmRSS, vmSwap                 uint32
	exeFlags                              ExeFlags
	exeIno, exeCTime, exeMTime            uint64
	mntns, pidns                          uint32
}

// procfs reads processes from a mounted procfs.
type procfs struct {
	root  string
	clock func() time.Duration // since boot
	buf   []byte
}

// maxList is how much of a command line or environment is kept, its last NUL
// included, as in events.
const maxList = 4096

func newProcfs(root string, clock func() time.Duration) *procfs {
	if clock == nil {
		clock = sinceBoot
	}
	return &procfs{root: root, clock: clock, buf: make([]byte, 16<<10)}
}

func sinceBoot() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// pids lists the processes.
func (r *procfs) pids() ([]int32, error) {
	d, err := os.Open(r.root)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var pids []int32
	for _, name := range names {
		if n, err := strconv.ParseInt(name, 10, 32); err == nil {
			pids = append(pids, int32(n))
		}
	}
	return pids, nil
}

// exists says whether there is a process with that pid.
func (r *procfs) exists(pid int32) bool {
	return unix.Access(r.path(pid, "stat"), unix.F_OK) == nil
}

// read fills f; false if the process is not there (any more). Start time is
// read first and last, so that the facts are those of one process.
func (r *procfs) read(pid int32, f *facts) bool {
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

func (r *procfs) path(pid int32, name string) string {
	return r.root + "/" + strconv.Itoa(int(pid)) + "/" + name
}

// file reads a file of a process, up to the size of the buffer, which it
// returns; nil if it cannot.
func (r *procfs) file(pid int32, name string) []byte {
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

func (r *procfs) link(pid int32, name string) string {
	var b [unix.PathMax]byte
	n, err := unix.Readlink(r.path(pid, name), b[:])
	if err != nil || n <= 0 {
		return ""
	}
	return strings.TrimSuffix(string(b[:n]), " (deleted)")
}

func (r *procfs) list(pid int32, name string) string {
	b := r.file(pid, name)
	if len(b) > maxList {
		b = b[:maxList]
		b[maxList-1] = 0
	}
	return string(b)
}

// readStat reads /proc/PID/stat: see proc_pid_stat(5). The name may contain
// anything, so that fields count from the last parenthesis.
func (r *procfs) readStat(pid int32, f *facts) bool {
	b := r.file(pid, "stat")
	i, j := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if i < 0 || j < i {
		return false
	}
	f.comm = string(b[i+1 : j])
	v := strings.Fields(string(b[j+1:]))
	const first = 3 // the field after the name is number 3
	if len(v) < 22-first+1 {
		return false
	}
	num := func(field int) uint64 {
		n, _ := strconv.ParseInt(v[field-first], 10, 64)
		return uint64(n)
	}
	f.ppid, f.pgid, f.tty = int32(num(4)), int32(num(5)), uint32(num(7))
	f.minFault, f.majFault, f.start = num(10), num(12), num(22)*tick
	return true
}

// readStatus reads /proc/PID/status, of which kernels differ in what they have.
func (r *procfs) readStatus(pid int32, f *facts) bool {
	b := r.file(pid, "status")
	if len(b) == 0 {
		return false
	}
	for line := range strings.Lines(string(b)) {
		key, rest, _ := strings.Cut(line, ":")
		v := strings.Fields(rest)
		if len(v) == 0 {
			continue
		}
		last := v[len(v)-1]
		switch key {
		case "Uid": // real, effective, saved, filesystem
			f.uid = uint32(number(v[min(1, len(v)-1)], 10))
		case "Gid":
			f.gid = uint32(number(v[min(1, len(v)-1)], 10))
		case "NSpid": // outermost to innermost namespace
			f.vpid = int32(number(last, 10))
		case "NSpgid":
			f.vpgid = int32(number(last, 10))
		case "NSsid":
			f.sid = int32(number(last, 10))
		case "Threads":
			f.threads = int32(number(last, 10))
		case "CapInh":
			f.capInh = number(last, 16)
		case "CapPrm":
			f.capPrm = number(last, 16)
		case "CapEff":
			f.capEff = number(last, 16)
		case "VmSize":
			f.vmSize = uint32(number(v[0], 10))
		case "VmRSS":
			f.vmRSS = uint32(number(v[0], 10))
		case "VmSwap":
			f.vmSwap = uint32(number(v[0], 10))
		}
	}
	return true
}

func number(s string, base int) uint64 {
	n, _ := strconv.ParseUint(s, base, 64)
	return n
}

// readLimits reads the soft limit of open files.
func (r *procfs) readLimits(pid int32, f *facts) {
	_, rest, ok := bytes.Cut(r.file(pid, "limits"), []byte("Max open files"))
	if v := bytes.Fields(rest); ok && len(v) > 0 {
		f.fdlimit = number(string(v[0]), 10)
	}
}

// statExe looks at the executable itself, which /proc/PID/exe reaches even
// when it has been deleted or is in another mount namespace.
func (r *procfs) statExe(pid int32, f *facts) {
	var st unix.Stat_t
	if unix.Stat(r.path(pid, "exe"), &st) != nil {
		return
	}
	f.exeIno = st.Ino
	f.exeCTime, f.exeMTime = uint64(st.Ctim.Nano()), uint64(st.Mtim.Nano())
	if f.uid == 0 || (st.Uid == f.uid && st.Mode&0o200 != 0) || (st.Gid == f.gid && st.Mode&0o020 != 0) || st.Mode&0o002 != 0 {
		f.exeFlags |= ExeWritable
	}
	if strings.HasPrefix(f.exePath, "/memfd:") {
		f.exeFlags |= ExeFromMemfd
	}
}

// cgroups reads /proc/PID/cgroup, "ID:SUBSYSTEMS:PATH" lines, into the form
// of events: "SUBSYSTEM=PATH" entries, NUL-separated.
func (r *procfs) cgroups(pid int32) (string, bool) {
	b := r.file(pid, "cgroup")
	if b == nil {
		return "", false
	}
	var out []byte
	for line := range bytes.Lines(b) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		_, rest, _ := bytes.Cut(line, []byte(":"))
		subsystems, path, ok := bytes.Cut(rest, []byte(":"))
		if ok {
			out = append(append(append(out, subsystems...), '='), path...)
			out = append(out, 0)
		}
	}
	return string(out), true
}

// nsInode is the number in "mnt:[4026531841]".
func nsInode(link string) uint32 {
	_, n, _ := strings.Cut(strings.TrimSuffix(link, "]"), "[")
	return uint32(number(n, 10))
}
