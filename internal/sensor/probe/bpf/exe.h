/* SPDX-License-Identifier: Apache-2.0 */
/* The facts that exec, clone and task events share: command line, executable. */
#pragma once
#include "cgroups.h"
#include "file.h"

#define RLIMIT_NOFILE 7
#define CAPS ((1ull << 41) - 1)

INLINE u64 fd_limit(struct task_struct *task)
{
	u64 signal = LOAD64(&task->signal);
	return LOAD64(signal + FIELD_OFFSET(struct signal_struct, rlim) + 16 * RLIMIT_NOFILE);
}

FUNC int put_comm(struct scratch *s, u32 slot)
{
	struct task_struct *task = current_task();

	if (!s || tail_full(s))
		return 0;
	long n = bpf_probe_read_kernel_str(tail(s), 16, &task->comm);
	if (n > 0)
		tail_commit(s, slot, n - 1);
	return 0;
}

/* argv[0] as one value, the rest as another, each with its NUL; of the whole
 * 4096 bytes at most, as Falco. */
FUNC int put_args(struct scratch *s, u32 exe_slot, u32 args_slot)
{
	struct mm_struct *mm = READ(current_task(), mm);
	if (!s || !mm)
		return 0;
	u64 start = READ(mm, arg_start), n = READ(mm, arg_end) - start;
	if (!n || tail_full(s))
		return 0;
	if (n > PART_MAX) {
		n = PART_MAX;
		s->h.flags |= EVENT_TRUNCATED;
	}
	char *at = tail(s);
	if (bpf_probe_read_user(at, BOUND(n, 2 * PART_MAX - 1), (void *)start)) {
		count_fault();
		return 0;
	}
	at[(n - 1) & PATH_MASK] = 0;
	long first = bpf_probe_read_kernel_str(s->path, PART_MAX, at);
	if (first <= 0)
		return 0;
	tail_commit(s, exe_slot, first - 1);
	s->len++;
	if ((u64)first <= n)
		tail_commit(s, args_slot, n - first);
	return 0;
}

FUNC int put_env(struct scratch *s, u32 slot)
{
	struct mm_struct *mm = READ(current_task(), mm);
	if (!s || !mm)
		return 0;
	u64 start = READ(mm, env_start), n = READ(mm, env_end) - start;

	put_user_bytes(s, slot, start, n);
	if (n > PART_MAX)
		s->buf[(s->len - 1) & BODY_MASK] = 0;
	return 0;
}

struct exe_times {
	u64 ctime, mtime;
};

INLINE struct exe_times inode_times(u64 inode)
{
	struct exe_times t;

	if (FIELD_EXISTS(struct inode, i_ctime_sec)) {
		struct inode *i = AS(struct inode, inode);
		/* The top bit says that somebody has looked at it (I_CTIME_QUERIED, 6.13). */
		t.ctime = READ(i, i_ctime_sec) * 1000000000ull + (READ(i, i_ctime_nsec) & 0x7fffffff);
		t.mtime = READ(i, i_mtime_sec) * 1000000000ull + READ(i, i_mtime_nsec);
		return t;
	}
	u32 ctime = FIELD_EXISTS(struct inode___6_6, __i_ctime) ? FIELD_OFFSET(struct inode___6_6, __i_ctime) :
								  FIELD_OFFSET(struct inode___old, i_ctime);
	u32 mtime = FIELD_OFFSET(struct inode___old, i_mtime);
	t.ctime = LOAD64(inode + ctime) * 1000000000ull + LOAD64(inode + ctime + 8);
	t.mtime = LOAD64(inode + mtime) * 1000000000ull + LOAD64(inode + mtime + 8);
	return t;
}

#define CAP_DAC_OVERRIDE 1
#define CAP_FOWNER 3

/* Could the task write the file: by its mode, or because capabilities let it
 * (fs/namei.c, generic_permission). Supplementary groups are not looked at. */
INLINE bool exe_writable(struct inode *inode, struct cred *cred)
{
	u16 mode = READ(inode, i_mode);
	u64 caps = cap_value(cred, FIELD_OFFSET(struct cred, cap_effective));

	if (caps & (1 << CAP_DAC_OVERRIDE | 1 << CAP_FOWNER))
		return true;
	if (READ(cred, euid.val) == READ(inode, i_uid.val))
		return mode & 0200;
	if (READ(cred, egid.val) == READ(inode, i_gid.val))
		return mode & 0020;
	return mode & 0002;
}

struct exe {
	u64 ino;
	struct exe_times times;
	u32 flags;
};

INLINE struct exe exe_facts(struct task_struct *task, u64 file_addr)
{
	struct exe e = {};

	if (!file_addr)
		return e;
	struct file *file = AS(struct file, file_addr);
	struct inode *inode = READ(file, f_inode);
	struct super_block *sb = READ(inode, i_sb);
	u64 dentry = LOAD64(file_addr + FIELD_OFFSET(struct file, f_path) + FIELD_OFFSET(struct path, dentry));
	u8 layer = file_layer(sb, (u64)inode);

	e.ino = READ(inode, i_ino);
	e.times = inode_times((u64)inode);
	if (exe_writable(inode, READ(task, cred)))
		e.flags |= EXE_WRITABLE;
	if (layer & FILE_UPPER_LAYER)
		e.flags |= EXE_UPPER_LAYER;
	if (layer & FILE_LOWER_LAYER)
		e.flags |= EXE_LOWER_LAYER;
	if (file_type(READ(inode, i_mode), READ(sb, s_magic), dentry) == FD_MEMFD)
		e.flags |= EXE_FROM_MEMFD;
	return e;
}
