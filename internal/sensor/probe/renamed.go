package probe

import "strings"

// Names of syscalls' functions that are not made of the syscall's own name, as
// "syscall:function" (arch/x86/entry/syscalls/syscall_{64,32}.tbl,
// arch/arm64/tools/syscall_{64,32}.tbl). A function named "" is that of no
// syscall: the number is not in use.
const (
	amd64Renamed = `umount2:umount sendfile:sendfile64 stat:newstat fstat:newfstat lstat:newlstat uname:newuname
		_sysctl: create_module: get_kernel_syms: query_module: nfsservctl: getpmsg: putpmsg: afs_syscall: tuxcall:
		security: epoll_ctl_old: epoll_wait_old: vserver: uselib: set_thread_area: get_thread_area:`

	i386Renamed = `umount:oldumount umount2:umount oldstat:stat oldfstat:fstat oldlstat:lstat oldolduname:olduname
		olduname:uname uname:newuname stat:newstat fstat:newfstat lstat:newlstat fcntl:fcntl64 getrlimit:old_getrlimit
		ugetrlimit:getrlimit select:old_select _newselect:select readdir:old_readdir mmap:ia32_mmap mmap2:mmap_pgoff
		clone:ia32_clone _llseek:llseek pread64:ia32_pread64 pwrite64:ia32_pwrite64 truncate64:ia32_truncate64
		ftruncate64:ia32_ftruncate64 stat64:ia32_stat64 lstat64:ia32_lstat64 fstat64:ia32_fstat64
		fstatat64:ia32_fstatat64 readahead:ia32_readahead fadvise64:ia32_fadvise64 fadvise64_64:ia32_fadvise64_64
		sync_file_range:ia32_sync_file_range fallocate:ia32_fallocate
		time:time32 stime:stime32 utime:utime32
		break: stty: gtty: ftime: prof: lock: mpx: ulimit: profil: idle: vm86old: vm86: create_module: get_kernel_syms:
		bdflush: afs_syscall: _sysctl: query_module: nfsservctl: getpmsg: putpmsg: vserver: uselib:` + renamed32

	arm64Renamed = `umount2:umount sendfile:sendfile64 fstat:newfstat uname:newuname fadvise64:fadvise64_64
		personality:arm64_personality nfsservctl: arch_specific_syscall:`

	armRenamed = `umount2:umount uname:newuname stat:newstat lstat:newlstat fstat:newfstat ugetrlimit:getrlimit
		_llseek:llseek _newselect:select mmap2:aarch32_mmap2 pread64:aarch32_pread64 pwrite64:aarch32_pwrite64
		truncate64:aarch32_truncate64 ftruncate64:aarch32_ftruncate64 statfs64:aarch32_statfs64
		fstatfs64:aarch32_fstatfs64 readahead:aarch32_readahead arm_fadvise64_64:aarch32_fadvise64_64
		arm_sync_file_range:aarch32_sync_file_range2 fallocate:aarch32_fallocate
		semctl:old_semctl msgctl:old_msgctl shmctl:old_shmctl semtimedop:semtimedop_time32
		bdflush: _sysctl: nfsservctl: vserver:` + renamed32

	// Of i386 and ARM: identities of 16 bits, and times of 32.
	renamed32 = `
		lchown:lchown16 setuid:setuid16 getuid:getuid16 setgid:setgid16 getgid:getgid16 geteuid:geteuid16
		getegid:getegid16 setreuid:setreuid16 setregid:setregid16 getgroups:getgroups16 setgroups:setgroups16
		fchown:fchown16 setfsuid:setfsuid16 setfsgid:setfsgid16 setresuid:setresuid16 getresuid:getresuid16
		setresgid:setresgid16 getresgid:getresgid16 chown:chown16
		lchown32:lchown setuid32:setuid getuid32:getuid setgid32:setgid getgid32:getgid geteuid32:geteuid
		getegid32:getegid setreuid32:setreuid setregid32:setregid getgroups32:getgroups setgroups32:setgroups
		fchown32:fchown setfsuid32:setfsuid setfsgid32:setfsgid setresuid32:setresuid getresuid32:getresuid
		setresgid32:setresgid getresgid32:getresgid chown32:chown
		adjtimex:adjtimex_time32 nanosleep:nanosleep_time32
		sched_rr_get_interval:sched_rr_get_interval_time32 rt_sigtimedwait:rt_sigtimedwait_time32 futex:futex_time32
		io_getevents:io_getevents_time32 timer_settime:timer_settime32 timer_gettime:timer_gettime32
		clock_settime:clock_settime32 clock_gettime:clock_gettime32 clock_getres:clock_getres_time32
		clock_nanosleep:clock_nanosleep_time32 clock_adjtime:clock_adjtime32 utimes:utimes_time32
		futimesat:futimesat_time32 utimensat:utimensat_time32 mq_timedsend:mq_timedsend_time32
		mq_timedreceive:mq_timedreceive_time32 pselect6:pselect6_time32 ppoll:ppoll_time32
		timerfd_settime:timerfd_settime32 timerfd_gettime:timerfd_gettime32 recvmmsg:recvmmsg_time32
		clock_gettime64:clock_gettime clock_settime64:clock_settime clock_adjtime64:clock_adjtime
		clock_getres_time64:clock_getres clock_nanosleep_time64:clock_nanosleep timer_gettime64:timer_gettime
		timer_settime64:timer_settime timerfd_gettime64:timerfd_gettime timerfd_settime64:timerfd_settime
		utimensat_time64:utimensat mq_timedsend_time64:mq_timedsend mq_timedreceive_time64:mq_timedreceive
		semtimedop_time64:semtimedop futex_time64:futex sched_rr_get_interval_time64:sched_rr_get_interval`
)

// later lists syscalls that are missing from some kernels since 5.8. Any other
// syscall without a function lacks an entry in the table above.
var later = setOf(`close_range process_madvise epoll_pwait2 mount_setattr quotactl_fd landlock_create_ruleset
	landlock_add_rule landlock_restrict_self memfd_secret process_mrelease futex_waitv set_mempolicy_home_node
	cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue statmount listmount lsm_get_self_attr
	lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat listxattrat removexattrat open_tree_attr
	file_getattr file_setattr listns rseq_slice_yield lookup_dcookie
	uretprobe uprobe`)

// leftover lists syscalls whose compat function is in all kernels, although the
// 32-bit tasks of most enter the other one (since 5.10; sendfile64 always).
var leftover = setOf(`sendfile64 process_vm_readv process_vm_writev getsockopt setsockopt`)

func setOf(s string) map[string]bool {
	set := map[string]bool{}
	for name := range strings.FieldsSeq(s) {
		set[name] = true
	}
	return set
}

func renamed(s string) map[string]string {
	m := map[string]string{}
	for pair := range strings.FieldsSeq(s) {
		name, function, _ := strings.Cut(pair, ":")
		m[name] = function
	}
	return m
}
