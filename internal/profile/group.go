package profile

import "strings"

// Group is a family of syscalls that come in bursts of their own.
type Group string

const (
	File    Group = "file"
	Network Group = "network"
	Process Group = "process"
	Memory  Group = "memory"
	Other   Group = "other"
)

// Groups are all of them, in the order in which they are shown.
var Groups = []Group{File, Network, Process, Memory, Other}

// members lists the syscalls of each group; all others are Other.
var members = map[Group]string{
	File: `open openat openat2 creat close close_range read pread64 readv preadv preadv2 write pwrite64 writev pwritev pwritev2
		stat fstat lstat newfstatat fstatat statx statfs fstatfs access faccessat faccessat2 readlink readlinkat getdents getdents64
		lseek fcntl flock ftruncate truncate fallocate fsync fdatasync rename renameat renameat2 unlink unlinkat link linkat symlink
		symlinkat mkdir mkdirat rmdir mknod mknodat chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utimensat dup dup2
		dup3 pipe pipe2 ioctl chdir fchdir getcwd sendfile splice tee copy_file_range fadvise64 getxattr lgetxattr fgetxattr
		setxattr listxattr llistxattr inotify_add_watch inotify_rm_watch inotify_init1 memfd_create umask mount umount2`,
	Network: `socket socketpair connect accept accept4 bind listen sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg shutdown
		setsockopt getsockopt getsockname getpeername epoll_wait epoll_pwait epoll_pwait2 epoll_ctl epoll_create1 poll ppoll select
		pselect6`,
	Process: `clone clone3 fork vfork execve execveat exit exit_group wait4 waitid kill tkill tgkill prctl arch_prctl
		set_tid_address set_robust_list rseq prlimit64 setpgid setsid getpgrp setuid setgid setresuid setresgid setgroups capset
		unshare setns ptrace pidfd_open pidfd_send_signal`,
	Memory: `mmap munmap mprotect mremap madvise brk msync mlock munlock mincore`,
}

var groups = func() map[string]Group {
	of := map[string]Group{}
	for group, names := range members {
		for name := range strings.FieldsSeq(names) {
			of[name] = group
		}
	}
	return of
}()

// GroupOf is the group of a syscall.
func GroupOf(syscall string) Group {
	if g, ok := groups[syscall]; ok {
		return g
	}
	return Other
}
