/* SPDX-License-Identifier: Apache-2.0 */
/* The facts that exec, clone and task events share: command line, executable. */
#pragma once
#include "cgroups.h"
#include "file.h"

#define RLIMIT_NOFILE 7
#define CAPS ((1ull << 41) - 1)

INLINE void put_caps(struct scratch *s, struct task_struct *task, u32 inheritable, u32 permitted, u32 effective)
{
	struct cred *cred = READ(task, cred);

	SLOT(s, inheritable) = cap_value(cred, FIELD_OFFSET(struct cred, cap_inheritable)) & CAPS;
	SLOT(s, permitted) = cap_value(cred, FIELD_OFFSET(struct cred, cap_permitted)) & CAPS;
	SLOT(s, effective) = cap_value(cred, FIELD_OFFSET(struct cred, cap_effective)) & CAPS;
}

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

/* The slots that events of clones and execs have alike. */
INLINE void put_process(struct scratch *s, struct task_struct *task, struct mm_struct *mm)
{
	struct task_struct *parent = READ(task, real_parent);
	struct mem_use mem = mm_use(mm);

	SLOT(s, EXECVE_TID) = s->h.tid;
	SLOT(s, EXECVE_PID) = s->h.pid;
	SLOT(s, EXECVE_PTID) = READ(parent, pid);
	SLOT(s, EXECVE_FDLIMIT) = fd_limit(task);
	SLOT(s, EXECVE_PGFT_MAJ) = READ(task, maj_flt);
	SLOT(s, EXECVE_PGFT_MIN) = READ(task, min_flt);
	SLOT(s, EXECVE_VM_SIZE) = mem.size;
	SLOT(s, EXECVE_VM_RSS) = mem.rss;
	SLOT(s, EXECVE_VM_SWAP) = mem.swap;
}
_Static_assert(CLONE_TID == EXECVE_TID && CLONE_PTID == EXECVE_PTID && CLONE_FDLIMIT == EXECVE_FDLIMIT && CLONE_VM_SWAP == EXECVE_VM_SWAP, "clone");

/* The slots of an exec that are numbers, up to GID. */
INLINE void put_exec(struct scratch *s, struct task_struct *task, struct mm_struct *mm, u64 exe_file)
{
	struct exe exe = exe_facts(task, exe_file);

	put_process(s, task, mm);
	SLOT(s, EXECVE_TTY) = task_tty(task);
	SLOT(s, EXECVE_VPGID) = pid_vnr(signal_pid(task, PIDTYPE_PGID));
	SLOT(s, EXECVE_LOGINUID) = s->h.login_uid;
	SLOT(s, EXECVE_FLAGS) = exe.flags;
	put_caps(s, task, EXECVE_CAP_INHERITABLE, EXECVE_CAP_PERMITTED, EXECVE_CAP_EFFECTIVE);
	SLOT(s, EXECVE_EXE_INO) = exe.ino;
	SLOT(s, EXECVE_EXE_INO_CTIME) = exe.times.ctime;
	SLOT(s, EXECVE_EXE_INO_MTIME) = exe.times.mtime;
	SLOT(s, EXECVE_UID) = s->h.uid;
	SLOT(s, EXECVE_PGID) = pid_nr(signal_pid(task, PIDTYPE_PGID));
	SLOT(s, EXECVE_GID) = s->h.gid;
}

/* SID, PPID, START, VPID and MNTNS, which execveat has in other slots. */
INLINE void put_ids(struct scratch *s, struct task_struct *task, u32 sid)
{
	struct task_struct *leader = READ(task, group_leader);

	SLOT(s, sid) = pid_vnr(signal_pid(task, PIDTYPE_SID));
	SLOT(s, sid + 1) = s->h.ppid;
	SLOT(s, sid + 2) = s->h.start;
	SLOT(s, sid + 3) = pid_vnr(task_thread_pid(leader));
	SLOT(s, sid + 4) = s->h.mnt_ns;
}
_Static_assert(EXECVE_PPID == EXECVE_SID + 1 && EXECVE_START == EXECVE_SID + 2 && EXECVE_VPID == EXECVE_SID + 3 && EXECVE_MNTNS == EXECVE_SID + 4, "execve");
_Static_assert(EXECVEAT_GID == EXECVE_GID && EXECVEAT_EXE == EXECVE_EXE && EXECVEAT_MNTNS == EXECVEAT_SID + 4, "execveat is execve without filename");
