/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of the kernel's ABI as the numbers that Falco's events carry
 * (falcosecurity/libs: driver/ppm_events_public.h), so that evt.rawarg and
 * captures agree. Where the two are the same nothing is done.
 */
#pragma once
#include "bpf.h"
#include "schema.h"

/* The bit to_bit of the result is set when all of from's bits are. */
#define BIT(from, to) res |= (flags & (from)) ? (to) : 0

#if defined(__TARGET_ARCH_arm64)
#define K_DIRECT 0200000
#define K_LARGEFILE 0400000
#define K_DIRECTORY 040000
#else
#define K_DIRECT 040000
#define K_LARGEFILE 0100000
#define K_DIRECTORY 0200000
#endif
#define K_TMPFILE_ALONE 020000000 /* __O_TMPFILE */
#define K_TMPFILE (K_TMPFILE_ALONE | K_DIRECTORY)
#define K_PATH 010000000
#define K_CREAT 0100
#define K_TRUNC 01000

/* open(2): libs' bits; any bit of O_SYNC and O_TMPFILE counts for the whole,
 * as there: a directory open shows O_TMPFILE. */
INLINE u32 open_flags(u64 flags)
{
	u32 res = (flags & 3) == 1 ? OPEN_WRITE : (flags & 3) == 2 ? OPEN_READ | OPEN_WRITE : OPEN_READ;

	BIT(K_CREAT, OPEN_CREAT);
	BIT(02000 /* O_APPEND */, OPEN_APPEND);
	BIT(010000 /* O_DSYNC */, OPEN_DSYNC);
	BIT(0200 /* O_EXCL */, OPEN_EXCL);
	BIT(04000 /* O_NONBLOCK */, OPEN_NONBLOCK);
	BIT(04010000 /* O_SYNC */, OPEN_SYNC);
	BIT(K_TRUNC, OPEN_TRUNC);
	BIT(K_DIRECT, OPEN_DIRECT);
	BIT(K_DIRECTORY, OPEN_DIRECTORY);
	BIT(K_LARGEFILE, OPEN_LARGEFILE);
	BIT(02000000 /* O_CLOEXEC */, OPEN_CLOEXEC);
	BIT(K_TMPFILE, OPEN_TMPFILE);
	return res;
}

/* The mode counts only when a file may be created; else it is whatever the
 * register held (build_open_how of fs/open.c). O_PATH drops O_CREAT. */
INLINE u32 open_mode(u64 flags, u64 mode)
{
	return flags & (K_CREAT | K_TMPFILE_ALONE) && !(flags & K_PATH) ? mode & 07777 : 0;
}

INLINE u32 resolve_flags(u64 flags)
{
	u32 res = 0;

	BIT(0x08 /* RESOLVE_BENEATH */, 1 << 0);
	BIT(0x10 /* RESOLVE_IN_ROOT */, 1 << 1);
	BIT(0x02 /* RESOLVE_NO_MAGICLINKS */, 1 << 2);
	BIT(0x04 /* RESOLVE_NO_SYMLINKS */, 1 << 3);
	BIT(0x01 /* RESOLVE_NO_XDEV */, 1 << 4);
	BIT(0x20 /* RESOLVE_CACHED */, 1 << 5);
	return res;
}

INLINE u32 clone_flags(u64 flags)
{
	u32 res = 0;

	BIT(0x00000400 /* FILES */, 1 << 0);
	BIT(0x00000200 /* FS */, 1 << 1);
	BIT(0x80000000 /* IO */, 1 << 2);
	BIT(0x08000000 /* NEWIPC */, 1 << 3);
	BIT(0x40000000 /* NEWNET */, 1 << 4);
	BIT(0x00020000 /* NEWNS */, 1 << 5);
	BIT(0x20000000 /* NEWPID */, 1 << 6);
	BIT(0x04000000 /* NEWUTS */, 1 << 7);
	BIT(0x00008000 /* PARENT */, 1 << 8);
	BIT(0x00100000 /* PARENT_SETTID */, 1 << 9);
	BIT(0x00002000 /* PTRACE */, 1 << 10);
	BIT(0x00000800 /* SIGHAND */, 1 << 11);
	BIT(0x00040000 /* SYSVSEM */, 1 << 12);
	BIT(0x00010000 /* THREAD */, 1 << 13);
	BIT(0x00800000 /* UNTRACED */, 1 << 14);
	BIT(0x00000100 /* VM */, 1 << 15);
	BIT(0x10000000 /* NEWUSER */, 1 << 20);
	BIT(0x00200000 /* CHILD_CLEARTID */, 1 << 23);
	BIT(0x01000000 /* CHILD_SETTID */, 1 << 24);
	BIT(0x00080000 /* SETTLS */, 1 << 25);
	BIT(0x00004000 /* VFORK */, 1 << 27);
	BIT(0x02000000 /* NEWCGROUP */, 1 << 28);
	return res;
}

#define CL_CHILD_IN_PIDNS (1 << 29)

/* SOCK_NONBLOCK, SOCK_CLOEXEC and their like of other calls that make
 * descriptors, as file flags. */
INLINE u32 fd_flags(u64 flags)
{
	u32 res = 0;

	BIT(04000 /* O_NONBLOCK */, OPEN_NONBLOCK);
	BIT(K_DIRECT, OPEN_DIRECT); /* pipe2 */
	BIT(02000000 /* O_CLOEXEC */, OPEN_CLOEXEC);
	return res;
}

INLINE u32 sockopt_level(u32 level)
{
	return level == 1 ? 1 /* SOL_SOCKET */ : level == 6 ? 2 /* SOL_TCP */ : 0;
}

/* The options of SOL_SOCKET; up to 50 the kernel's numbers. */
INLINE u32 sockopt_name(u32 level, u32 name)
{
	if (level != 1)
		return 0;
	switch (name) {
	case 55:
		return 52; /* SO_MEMINFO */
	case 57:
		return 53; /* SO_COOKIE */
	case 59:
		return 51; /* SO_PEERGROUPS */
	}
	return name <= 50 ? name : 0;
}

INLINE u32 fcntl_cmd(u32 cmd)
{
	/* F_DUPFD to F_GETOWN_EX, in the kernel's order */
	static const u8 small[32] = { 1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 13, 15, 17, 18, 19, 21, 22 };

	if (cmd < 17)
		return small[BOUND(cmd, 31)]; /* 6.1 forgets what it has compared */
	switch (cmd) {
	case 36 ... 38: /* F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW */
		return cmd - 36 + 30;
	case 1024: /* F_SETLEASE, F_GETLEASE */
	case 1025:
		return cmd - 1024 + 23;
	case 1026: /* F_NOTIFY */
		return 27;
	case 1029: /* F_CANCELLK, F_DUPFD_CLOEXEC */
	case 1030:
		return cmd - 1029 + 25;
	case 1031: /* F_SETPIPE_SZ, F_GETPIPE_SZ */
	case 1032:
		return cmd - 1031 + 28;
	}
	return 0;
}

INLINE u32 ptrace_request(u64 request)
{
	/* PTRACE_TRACEME to PTRACE_SINGLEBLOCK, in the kernel's order */
	static const u8 small[64] = { 1,  2,  3,  4,  5,  6, 7, 8, 9, 10, 0, 0, 26, 27, 28, 29, 11,
				      12, 30, 31, 0,  32, 0, 0, 13, 33, 34, 0, 0,  0,  35, 36, 37, 38 };

	if (request < 34)
		return small[BOUND(request, 63)];
	if (request >= 0x4200 && request <= 0x420b) /* PTRACE_SETOPTIONS to PTRACE_SETSIGMASK */
		return request - 0x4200 + 14;
	return 0;
}

INLINE u32 prot_flags(u64 flags)
{
	u32 res = flags & 0xf; /* PROT_READ, PROT_WRITE, PROT_EXEC, PROT_SEM */

	BIT(0x01000000 /* PROT_GROWSDOWN */, 1 << 4);
	BIT(0x02000000 /* PROT_GROWSUP */, 1 << 5);
	return res;
}

INLINE u32 mmap_flags(u64 flags)
{
	u32 res = flags & 3; /* MAP_SHARED, MAP_PRIVATE */

	BIT(0x10 /* MAP_FIXED */, 1 << 2);
	BIT(0x20 /* MAP_ANONYMOUS */, 1 << 3);
#if defined(__TARGET_ARCH_x86)
	BIT(0x40 /* MAP_32BIT */, 1 << 4);
#endif
	BIT(0x4000 /* MAP_NORESERVE */, 1 << 6);
	BIT(0x8000 /* MAP_POPULATE */, 1 << 7);
	BIT(0x10000 /* MAP_NONBLOCK */, 1 << 8);
	BIT(0x100 /* MAP_GROWSDOWN */, 1 << 9);
	BIT(0x800 /* MAP_DENYWRITE */, 1 << 10);
	BIT(0x1000 /* MAP_EXECUTABLE */, 1 << 11);
	BIT(0x2000 /* MAP_LOCKED */, 1 << 14);
	return res;
}

INLINE u32 io_uring_setup_flags(u64 flags)
{
	u32 res = flags & 3; /* IORING_SETUP_IOPOLL, IORING_SETUP_SQPOLL */

	res |= (flags & 0x7c) << 1; /* IORING_SETUP_SQ_AFF to IORING_SETUP_R_DISABLED */
	return res;
}

INLINE u32 semctl_cmd(u32 cmd)
{
	switch (cmd & ~0x100 /* IPC_64 */) {
	case 0 ... 3: /* IPC_RMID, IPC_SET, IPC_STAT, IPC_INFO */
		return cmd == 0 ? 4 : cmd == 1 ? 2 : cmd == 2 ? 1 : 8;
	case 11: /* GETPID */
		return 1 << 8;
	case 12: /* GETVAL */
		return 1 << 9;
	case 13: /* GETALL */
		return 1 << 6;
	case 14: /* GETNCNT */
		return 1 << 7;
	case 15: /* GETZCNT */
		return 1 << 10;
	case 16: /* SETVAL */
		return 1 << 12;
	case 17: /* SETALL */
		return 1 << 11;
	case 18: /* SEM_STAT */
		return 1 << 5;
	case 19: /* SEM_INFO */
		return 1 << 4;
	}
	return 0;
}

INLINE u16 poll_events(u64 flags)
{
	u16 res = flags & 7; /* POLLIN, POLLPRI, POLLOUT */

	res |= (flags & 0x3f8) << 1; /* POLLERR to POLLWRBAND */
	BIT(0x2000 /* POLLRDHUP */, 1 << 3);
	return res;
}

INLINE u32 delete_module_flags(u64 flags)
{
	u32 res = 0;

	BIT(K_TRUNC, 1);
	BIT(04000 /* O_NONBLOCK */, 2);
	return res;
}

/* Q_SYNC to Q_SETQUOTA and Q_XQUOTAON to Q_XGETQSTATV, one bit each. */
INLINE u32 quotactl_cmd(u32 cmd)
{
	switch (cmd) {
	case 0x800001: /* Q_SYNC */
		return 1 << 7;
	case 0x800002 ... 0x800008:
		return 1 << (cmd - 0x800002);
	case 0x5801 ... 0x5808:
		return 1 << (cmd - 0x5801 + 8);
	}
	return 0;
}

INLINE u32 quotactl_fmt(u32 fmt)
{
	return fmt == 1 ? 2 : fmt == 2 ? 4 : fmt == 4 ? 8 : 1; /* VFS_OLD, VFS_V0, VFS_V1; not used */
}
