package action

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	futexWaitPrivate, futexWakePrivate = 128, 129 // include/uapi/linux/futex.h
	robustListHead                     = 24       // bytes: the same. Without a list it may be set: Go has none
)

// noPID is no process (PID_MAX_LIMIT, include/linux/threads.h): only the
// starter of a replay's child waits for it.
var noPID = number(1 << 30)

// otherReplays are calls about memory, time, signals and the process itself,
// which ask and change nothing.
var otherReplays = map[string]replay{
	"mmap":              {nr: unix.SYS_MMAP, args: []word{page, number(4096), number(unix.PROT_READ), number(unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_FIXED), noFD, zero}, fails: []word{zero, zero, zero, zero, noFD, zero}},
	"munmap":            {nr: unix.SYS_MUNMAP, args: []word{nowhere, number(4096)}, fails: []word{zero, zero}},
	"mprotect":          {nr: unix.SYS_MPROTECT, args: []word{page, number(4096), number(unix.PROT_READ | unix.PROT_WRITE)}, fails: []word{number(1), number(4096), zero}},
	"madvise":           {nr: unix.SYS_MADVISE, args: []word{page, number(4096), number(unix.MADV_NORMAL)}, fails: []word{number(1), number(4096), zero}},
	"mremap":            {nr: unix.SYS_MREMAP, args: []word{page, number(4096), number(4096), zero}, fails: []word{number(1), number(4096), zero, zero}},
	"brk":               {nr: unix.SYS_BRK, args: []word{zero}},
	"futex":             {nr: unix.SYS_FUTEX, args: []word{futex, number(futexWakePrivate), number(1), zero}, fails: []word{futex, number(futexWaitPrivate), number(1), zero}},
	"nanosleep":         {nr: unix.SYS_NANOSLEEP, args: []word{fromMemory, zero}, fails: []word{zero, zero}},
	"clock_nanosleep":   {nr: unix.SYS_CLOCK_NANOSLEEP, args: []word{number(unix.CLOCK_MONOTONIC), zero, fromMemory, zero}, fails: []word{number(-1), zero, zero, zero}},
	"clock_gettime":     {nr: unix.SYS_CLOCK_GETTIME, args: []word{zero, toMemory}, fails: []word{number(1000), toMemory}},
	"gettimeofday":      {nr: unix.SYS_GETTIMEOFDAY, args: []word{toMemory, zero}, fails: []word{number(8), zero}},
	"sched_yield":       {nr: unix.SYS_SCHED_YIELD},
	"sched_getaffinity": {nr: unix.SYS_SCHED_GETAFFINITY, args: []word{zero, number(1024), toMemory}, fails: []word{zero, zero, toMemory}},
	"getrandom":         {nr: unix.SYS_GETRANDOM, args: []word{toMemory, number(8), zero}, fails: []word{toMemory, number(8), number(-1)}},
	"chdir":             {nr: unix.SYS_CHDIR, args: []word{dot}, fails: []word{missing}},
	"set_tid_address":   {nr: unix.SYS_SET_TID_ADDRESS, args: []word{toMemory}},
	"getpid":            {nr: unix.SYS_GETPID},
	"gettid":            {nr: unix.SYS_GETTID},
	"getppid":           {nr: unix.SYS_GETPPID},
	"getuid":            {nr: unix.SYS_GETUID},
	"geteuid":           {nr: unix.SYS_GETEUID},
	"getgid":            {nr: unix.SYS_GETGID},
	"getegid":           {nr: unix.SYS_GETEGID},
	"getsid":            {nr: unix.SYS_GETSID, args: []word{zero}, fails: []word{number(1 << 30)}},
	"getpgid":           {nr: unix.SYS_GETPGID, args: []word{zero}, fails: []word{number(1 << 30)}},
	"getgroups":         {nr: unix.SYS_GETGROUPS, args: []word{zero, zero}, fails: []word{number(-1), zero}},
	"getresuid":         {nr: unix.SYS_GETRESUID, args: []word{toMemory, toMemory, toMemory}, fails: []word{number(8), zero, zero}},
	"getrusage":         {nr: unix.SYS_GETRUSAGE, args: []word{zero, toMemory}, fails: []word{number(1000), toMemory}},
	"times":             {nr: unix.SYS_TIMES, args: []word{toMemory}},
	"uname":             {nr: unix.SYS_UNAME, args: []word{toMemory}, fails: []word{number(8)}},
	"sysinfo":           {nr: unix.SYS_SYSINFO, args: []word{toMemory}, fails: []word{number(8)}},
	"prlimit64":         {nr: unix.SYS_PRLIMIT64, args: []word{zero, number(unix.RLIMIT_NOFILE), zero, toMemory}, fails: []word{zero, number(1000), zero, toMemory}},
	"prctl":             {nr: unix.SYS_PRCTL, args: []word{number(unix.PR_GET_DUMPABLE)}, fails: []word{number(-1)}},
	"capget":            {nr: unix.SYS_CAPGET, args: []word{capHeader, toMemory}, fails: []word{number(8), zero}},
	"rt_sigaction":      {nr: unix.SYS_RT_SIGACTION, args: []word{number(int(unix.SIGUSR2)), zero, toMemory, number(8)}, fails: []word{number(1000), zero, toMemory, number(8)}},
	"rt_sigprocmask":    {nr: unix.SYS_RT_SIGPROCMASK, args: []word{zero, zero, toMemory, number(8)}, fails: []word{zero, zero, toMemory, zero}},
	"sigaltstack":       {nr: unix.SYS_SIGALTSTACK, args: []word{zero, toMemory}, fails: []word{number(8), zero}},
	"kill":              {nr: unix.SYS_KILL, args: []word{ourselves, zero}, fails: []word{number(1 << 30), zero}},
	"tgkill":            {nr: unix.SYS_TGKILL, args: []word{ourselves, ourselves, zero}, fails: []word{number(1 << 30), number(1 << 30), zero}},
	"get_robust_list":   {nr: unix.SYS_GET_ROBUST_LIST, args: []word{zero, toMemory, toMemory}, fails: []word{number(1 << 30), toMemory, toMemory}},
	"set_robust_list":   {nr: unix.SYS_SET_ROBUST_LIST, args: []word{zero, number(robustListHead)}, fails: []word{zero, zero}},
	"rseq":              {nr: unix.SYS_RSEQ, fails: []word{number(8), zero, number(-1), zero}, neverSucceeds: true},
	"eventfd2":          {nr: unix.SYS_EVENTFD2, args: []word{zero, number(unix.EFD_CLOEXEC)}, fails: []word{zero, number(-1)}, besides: closes, after: closeResult},
	"timerfd_create":    {nr: unix.SYS_TIMERFD_CREATE, args: []word{number(unix.CLOCK_MONOTONIC), number(unix.TFD_CLOEXEC)}, fails: []word{number(-1), zero}, besides: closes, after: closeResult},
	"waitid":            {nr: unix.SYS_WAITID, fails: []word{number(unix.P_PID), noPID, zero, number(unix.WNOHANG | unix.WEXITED), zero}, neverSucceeds: true},
	"wait4":             {nr: unix.SYS_WAIT4, fails: []word{noPID, zero, number(unix.WNOHANG), zero}, neverSucceeds: true},
}

// dot is where this process is already.
func dot(p *prep) (uintptr, error) { return p.held(c(".")), nil }

var replayFutex uint32 // which has no waiter

var futex = pointer(unsafe.Pointer(&replayFutex))

// page is memory of the action's own.
func page(p *prep) (uintptr, error) {
	memory, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return 0, err
	}
	p.undo(func() error { return unix.Munmap(memory) })
	return uintptr(unsafe.Pointer(&memory[0])), nil
}

// nowhere is an address below which nothing is ever mapped
// (/proc/sys/vm/mmap_min_addr): to unmap it succeeds.
func nowhere(*prep) (uintptr, error) { return 4096, nil }

func ourselves(*prep) (uintptr, error) { return uintptr(os.Getpid()), nil }

var replayCapHeader = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}

var capHeader = pointer(unsafe.Pointer(&replayCapHeader))
