package probe

import "github.com/peregrine-sec/peregrine/internal/sensor/event"

// family is a group of syscalls served by one program; its number is the
// program's index in the table that sys_exit jumps through.
type family uint8

const (
	_ family = iota
	opens
	procs
	paths
	modes
	nets
	messages
	ios
	fds
	users
	memory
	tasks
	misc
)

// programs are the programs of the families.
var programs = map[family]string{
	opens:    "family_open",
	procs:    "family_proc",
	paths:    "family_path",
	modes:    "family_mode",
	nets:     "family_net",
	messages: "family_message",
	ios:      "family_io",
	fds:      "family_fd",
	users:    "family_user",
	memory:   "family_memory",
	tasks:    "family_task",
	misc:     "family_misc",
}

// kinds are the kinds that each family makes with all their parameters. Any
// other syscall is sent as KindSyscall.
var kinds = map[family][]event.Kind{
	opens: {event.KindOpen, event.KindOpenat, event.KindOpenat2, event.KindCreat, event.KindOpenByHandleAt},
	procs: {event.KindClone, event.KindFork, event.KindVfork, event.KindClone3, event.KindExecve, event.KindExecveat},
	paths: {
		event.KindUnlink, event.KindUnlinkat, event.KindRmdir, event.KindMkdir, event.KindMkdirat,
		event.KindRename, event.KindRenameat, event.KindRenameat2, event.KindLink, event.KindLinkat,
		event.KindSymlink, event.KindSymlinkat, event.KindMknod, event.KindMknodat,
	},
	modes: {
		event.KindChmod, event.KindFchmod, event.KindFchmodat, event.KindFchmodat2,
		event.KindChown, event.KindLchown, event.KindFchown, event.KindFchownat, event.KindAccess,
		event.KindStat, event.KindLstat, event.KindFstat, event.KindNewfstatat,
		event.KindMount, event.KindUmount, event.KindUmount2,
		event.KindChdir, event.KindFchdir, event.KindChroot, event.KindGetcwd, event.KindQuotactl,
	},
	nets: {
		event.KindSocket, event.KindBind, event.KindConnect, event.KindListen, event.KindAccept, event.KindAccept4,
		event.KindShutdown, event.KindSocketpair, event.KindSetsockopt, event.KindGetsockopt,
		event.KindGetsockname, event.KindGetpeername,
	},
	messages: {
		event.KindSend, event.KindSendto, event.KindSendmsg, event.KindSendmmsg,
		event.KindRecv, event.KindRecvfrom, event.KindRecvmsg, event.KindRecvmmsg,
	},
	ios: {
		event.KindClose, event.KindRead, event.KindWrite, event.KindPread, event.KindPwrite,
		event.KindReadv, event.KindWritev, event.KindPreadv, event.KindPwritev, event.KindLseek,
		event.KindFcntl, event.KindIoctl, event.KindFlock, event.KindGetdents, event.KindGetdents64,
		event.KindDup, event.KindDup2, event.KindDup3, event.KindCloseRange,
		event.KindSplice, event.KindSendfile, event.KindCopyFileRange,
	},
	fds: {
		event.KindPipe, event.KindPipe2, event.KindEventfd, event.KindEventfd2, event.KindSignalfd, event.KindSignalfd4,
		event.KindTimerfdCreate, event.KindInotifyInit, event.KindInotifyInit1, event.KindEpollCreate, event.KindEpollCreate1,
		event.KindUserfaultfd, event.KindMemfdCreate, event.KindPidfdOpen, event.KindPidfdGetfd, event.KindBpf,
		event.KindIoUringSetup, event.KindIoUringEnter, event.KindIoUringRegister,
		event.KindEpollWait, event.KindSelect, event.KindPoll, event.KindPpoll,
	},
	users: {
		event.KindSetuid, event.KindSetgid, event.KindSetreuid, event.KindSetregid, event.KindSetresuid, event.KindSetresgid,
		event.KindGetuid, event.KindGeteuid, event.KindGetgid, event.KindGetegid, event.KindGetresuid, event.KindGetresgid,
		event.KindCapset, event.KindUnshare, event.KindSetns, event.KindSetsid, event.KindSetpgid,
		event.KindGetrlimit, event.KindSetrlimit, event.KindPrlimit,
	},
	memory: {
		event.KindBrk, event.KindMmap, event.KindMunmap, event.KindMprotect,
		event.KindMlock, event.KindMunlock, event.KindMlock2, event.KindMlockall, event.KindMunlockall,
	},
	tasks: {
		event.KindKill, event.KindTkill, event.KindTgkill, event.KindPtrace, event.KindPrctl, event.KindSeccomp,
		event.KindNanosleep, event.KindFutex, event.KindInitModule, event.KindFinitModule, event.KindDeleteModule,
		event.KindProcessVmReadv, event.KindProcessVmWritev, event.KindFsconfig, event.KindKeyctl,
		event.KindSemget, event.KindSemctl, event.KindSemop,
	},
	misc: {event.KindSyscall},
}

var familyOf = func() map[event.Kind]family {
	m := map[event.Kind]family{}
	for f, ks := range kinds {
		for _, k := range ks {
			m[k] = f
		}
	}
	return m
}()
