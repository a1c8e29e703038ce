/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of the kernel's ABI as the numbers that Falco's events carry
 * (falcosecurity/libs: driver/ppm_events_public.h), so that evt.rawarg and
 * captures agree. Where the two are the same nothing is done.
 */
#pragma once
#include "bpf.h"

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
#define K_TMPFILE (020000000 | K_DIRECTORY)
#define K_CREAT 0100

#define O_F_CREATED (1 << 14)
#define FD_UPPER (1 << 15)
#define FD_LOWER (1 << 16)

/* open(2): libs' bits; any bit of O_SYNC and O_TMPFILE counts for the whole,
 * as there: a directory open shows O_TMPFILE. */
INLINE u32 open_flags(u64 flags)
{
	u32 res = (flags & 3) == 1 ? 2 : (flags & 3) == 2 ? 3 : 1;

	BIT(K_CREAT, 1 << 2);
	BIT(02000 /* O_APPEND */, 1 << 3);
	BIT(010000 /* O_DSYNC */, 1 << 4);
	BIT(0200 /* O_EXCL */, 1 << 5);
	BIT(04000 /* O_NONBLOCK */, 1 << 6);
	BIT(04010000 /* O_SYNC */, 1 << 7);
	BIT(01000 /* O_TRUNC */, 1 << 8);
	BIT(K_DIRECT, 1 << 9);
	BIT(K_DIRECTORY, 1 << 10);
	BIT(K_LARGEFILE, 1 << 11);
	BIT(02000000 /* O_CLOEXEC */, 1 << 12);
	BIT(K_TMPFILE, 1 << 13);
	return res;
}

/* The mode counts only when a file may be created. */
INLINE u32 open_mode(u64 flags, u64 mode)
{
	return flags & (K_CREAT | K_TMPFILE) ? mode & 07777 : 0;
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
