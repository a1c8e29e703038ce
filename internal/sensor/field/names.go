package field

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// errnoNames are the names of errors by number. Where Linux has two names the
// one of Falco is taken; from 512 on are those that the kernel keeps for
// itself, and that show when a syscall is interrupted.
var errnoNames = func() (names [532]string) {
	for i := range names {
		names[i] = unix.ErrnoName(syscall.Errno(i))
	}
	for n, name := range map[int]string{
		11: "EAGAIN", 35: "EDEADLK", 95: "EOPNOTSUPP",
		512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 515: "ENOIOCTLCMD",
		516: "ERESTART_RESTARTBLOCK", 517: "EPROBE_DEFER", 518: "EOPENSTALE", 521: "EBADHANDLE",
		522: "ENOTSYNC", 523: "EBADCOOKIE", 524: "ENOTSUPP", 525: "ETOOSMALL", 526: "ESERVERFAULT",
		527: "EBADTYPE", 528: "EJUKEBOX", 529: "EIOCBQUEUED",
	} {
		names[n] = name
	}
	return names
}()

// errnoName is the name of the error that a syscall returned as res; "" if it
// has none.
func errnoName(res int64) string {
	if n := -res; n > 0 && n < int64(len(errnoNames)) {
		return errnoNames[n]
	}
	return ""
}

// signalName is the name of a signal; "" if it has none.
func signalName(n uint64) string {
	if n == 0 || n > 64 {
		return ""
	}
	return unix.SignalName(syscall.Signal(n))
}

// capNames are the capabilities by bit (linux/capability.h).
var capNames = strings.Fields(`
	CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID
	CAP_SETPCAP CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW
	CAP_IPC_LOCK CAP_IPC_OWNER CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT
	CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD
	CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG
	CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE`)

// appendCaps appends the names of a capability set, separated by spaces.
func appendCaps(dst []byte, set uint64) []byte {
	start := len(dst)
	for i, name := range capNames {
		if set&(1<<i) == 0 {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = append(dst, name...)
	}
	return dst
}
