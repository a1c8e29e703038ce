/* SPDX-License-Identifier: Apache-2.0 */
/* Syscalls that make processes: clone and its kin on both sides, and execs that
 * failed; those that succeed come from the scheduler's tracepoint. */
#include "flags.h"
#include "exe.h"

/* clone, fork, vfork and clone3 have the same parameters. */
FUNC int put_clone(struct scratch *s, u64 flags)
{
	struct task_struct *task = current_task();
	if (!s)
		return 0;
	struct task_struct *leader = READ(task, group_leader);
	struct task_struct *parent = READ(task, real_parent);
	struct mm_struct *mm = READ(task, mm);
	struct mem_use mem = mm_use(mm);
	u64 pid = task_thread_pid(task);
	u32 ppm = clone_flags(flags);

	struct nsproxy *nsproxy = READ(task, nsproxy);
	/* unshare and setns change the namespace of children only. */
	if (READ(AS(struct pid, pid), level) > 0 || flags & 0x20000000 /* CLONE_NEWPID */ ||
	    READ(nsproxy, pid_ns_for_children) != task_pid_ns(task))
		ppm |= CL_CHILD_IN_PIDNS;
	SLOT(s, CLONE_RES) = s->ret;
	SLOT(s, CLONE_TID) = s->h.tid;
	SLOT(s, CLONE_PID) = s->h.pid;
	SLOT(s, CLONE_PTID) = READ(parent, pid);
	SLOT(s, CLONE_FDLIMIT) = fd_limit(task);
	SLOT(s, CLONE_PGFT_MAJ) = READ(task, maj_flt);
	SLOT(s, CLONE_PGFT_MIN) = READ(task, min_flt);
	SLOT(s, CLONE_VM_SIZE) = mem.size;
	SLOT(s, CLONE_VM_RSS) = mem.rss;
	SLOT(s, CLONE_VM_SWAP) = mem.swap;
	SLOT(s, CLONE_FLAGS) = ppm;
	SLOT(s, CLONE_UID) = s->h.uid;
	SLOT(s, CLONE_GID) = s->h.gid;
	SLOT(s, CLONE_VTID) = s->h.vtid;
	SLOT(s, CLONE_VPID) = pid_vnr(task_thread_pid(leader));
	SLOT(s, CLONE_PIDNS_INIT_START_TS) = pid_ns_start(task) + boot_epoch;
	put_args(s, CLONE_EXE, CLONE_ARGS);
	put_cwd(s, CLONE_CWD);
	put_comm(s, CLONE_COMM);
	put_cgroups(s, CLONE_CGROUPS, LOAD64(&task->cgroups));
	return 0;
}

#define EXEC_STRINGS 256

struct string_list {
	struct scratch *s;
	u64 next;  /* address of the next pointer to a string */
	u32 start; /* of the list in the event */
	u32 narrow; /* pointers have 4 bytes */
};

/* Append one string of an argv or envp with its NUL. Not 0: the last. */
static int string_step(u32 i, struct string_list *l)
{
	struct scratch *s = l->s;
	u64 p = 0;

	if (bpf_probe_read_user(&p, l->narrow ? 4 : 8, (void *)l->next) || !p)
		return 1;
	l->next += l->narrow ? 4 : 8;
	if (s->len - l->start >= PART_MAX || tail_full(s)) {
		s->h.flags |= EVENT_TRUNCATED;
		return 1;
	}
	long n = read_user_str(tail(s), p);
	if (n <= 0) {
		count_fault();
		return 1;
	}
	s->len += n;
	return 0;
}

/* The strings of an argv or envp, 4096 bytes at most; their length. */
FUNC int append_strings(struct scratch *s, u64 list, u32 max)
{
	if (!s)
		return 0;
	struct string_list l = {
		.s = s,
		.next = list,
		.start = s->len,
		.narrow = s->h.flags & EVENT_COMPAT,
	};

#ifdef LEGACY
	for (u32 i = 0; i < 20 && i < max; i++)
		if (string_step(i, &l))
			break;
#else
	bpf_loop(max, string_step, &l, 0);
#endif
	u32 n = s->len - l.start;
	if (n > PART_MAX) {
		n = PART_MAX;
		s->buf[(l.start + n - 1) & BODY_MASK] = 0;
		s->h.flags |= EVENT_TRUNCATED;
	}
	s->len = l.start;
	return n;
}

INLINE void put_strings(struct scratch *s, u32 slot, u64 list)
{
	if (tail_full(s))
		return;
	u32 n = append_strings(s, list, EXEC_STRINGS);
	tail_commit(s, slot, n);
}

/* An exec that failed: the process is what it was, exe, args and env are what
 * it asked for. */
FUNC int put_failed_exec(struct scratch *s, u64 argv, u64 envp)
{
	struct task_struct *task = current_task();
	if (!s)
		return 0;
	struct task_struct *parent = READ(task, real_parent);
	struct cred *cred = READ(task, cred);
	struct mm_struct *mm = READ(task, mm);
	struct mem_use mem = mm_use(mm);
	u64 exe_file = mm ? LOAD64(&mm->exe_file) : 0;
	struct exe exe = exe_facts(task, exe_file);

	SLOT(s, EXECVE_RES) = s->ret;
	SLOT(s, EXECVE_TID) = s->h.tid;
	SLOT(s, EXECVE_PID) = s->h.pid;
	SLOT(s, EXECVE_PTID) = READ(parent, pid);
	SLOT(s, EXECVE_FDLIMIT) = fd_limit(task);
	SLOT(s, EXECVE_PGFT_MAJ) = READ(task, maj_flt);
	SLOT(s, EXECVE_PGFT_MIN) = READ(task, min_flt);
	SLOT(s, EXECVE_VM_SIZE) = mem.size;
	SLOT(s, EXECVE_VM_RSS) = mem.rss;
	SLOT(s, EXECVE_VM_SWAP) = mem.swap;
	SLOT(s, EXECVE_TTY) = task_tty(task);
	SLOT(s, EXECVE_VPGID) = pid_vnr(signal_pid(task, PIDTYPE_PGID));
	SLOT(s, EXECVE_LOGINUID) = s->h.login_uid;
	SLOT(s, EXECVE_FLAGS) = exe.flags;
	SLOT(s, EXECVE_CAP_INHERITABLE) = cap_value(cred, FIELD_OFFSET(struct cred, cap_inheritable)) & CAPS;
	SLOT(s, EXECVE_CAP_PERMITTED) = cap_value(cred, FIELD_OFFSET(struct cred, cap_permitted)) & CAPS;
	SLOT(s, EXECVE_CAP_EFFECTIVE) = cap_value(cred, FIELD_OFFSET(struct cred, cap_effective)) & CAPS;
	SLOT(s, EXECVE_EXE_INO) = exe.ino;
	SLOT(s, EXECVE_EXE_INO_CTIME) = exe.times.ctime;
	SLOT(s, EXECVE_EXE_INO_MTIME) = exe.times.mtime;
	SLOT(s, EXECVE_UID) = s->h.uid;
	SLOT(s, EXECVE_PGID) = pid_nr(signal_pid(task, PIDTYPE_PGID));
	SLOT(s, EXECVE_GID) = s->h.gid;
	if (argv && !tail_full(s)) {
		u32 n = append_strings(s, argv, EXEC_STRINGS);
		long first = bpf_probe_read_kernel_str(s->path, PART_MAX, tail(s));
		if (n && first > 0) {
			tail_commit(s, EXECVE_EXE, first - 1);
			s->len++;
			if (first <= n)
				tail_commit(s, EXECVE_ARGS, n - first);
		}
	}
	put_cwd(s, EXECVE_CWD);
	put_comm(s, EXECVE_COMM);
	put_cgroups(s, EXECVE_CGROUPS, LOAD64(&task->cgroups));
	if (envp)
		put_strings(s, EXECVE_ENV, envp);
	put_file_path(s, EXECVE_TRUSTED_EXEPATH, exe_file);
	return 0;
}

INLINE void put_ids(struct scratch *s, struct task_struct *task, u32 sid, u32 ppid, u32 start, u32 vpid, u32 mntns)
{
	struct task_struct *leader = READ(task, group_leader);
	s->slots[sid] = pid_vnr(signal_pid(task, PIDTYPE_SID));
	s->slots[ppid] = s->h.ppid;
	s->slots[start] = s->h.start;
	s->slots[vpid] = pid_vnr(task_thread_pid(leader));
	s->slots[mntns] = s->h.mnt_ns;
}

SEC("tp_btf/sys_exit")
int family_process(u64 *ctx)
{
	struct scratch *s = scratch_get();
	struct task_struct *task = current_task();
	u64 flags = 0;

	if (!s)
		return 0;
	switch (s->entry.kind) {
	case KIND_CLONE3:
		if (bpf_probe_read_user(&flags, sizeof(flags), (void *)s->args[0]))
			count_fault();
		goto clone;
	case KIND_CLONE:
		flags = s->args[0];
		goto clone;
	case KIND_VFORK:
		flags = 0x4100; /* CLONE_VFORK | CLONE_VM */
		goto clone;
	case KIND_FORK:
	clone:
		begin_syscall(s, s->entry.kind, CLONE_SLOTS);
		put_clone(s, flags);
		return submit(s, LOST_CLONE_FORK);
	case KIND_EXECVE:
		if (s->ret >= 0)
			break;
		BEGIN(EXECVE);
		put_failed_exec(s, s->args[1], s->args[2]);
		put_user_str(s, EXECVE_FILENAME, s->args[0]);
		put_ids(s, task, EXECVE_SID, EXECVE_PPID, EXECVE_START, EXECVE_VPID, EXECVE_MNTNS);
		return submit(s, LOST_EXECVE);
	case KIND_EXECVEAT:
		if (s->ret >= 0)
			break;
		BEGIN(EXECVEAT);
		put_failed_exec(s, s->args[2], s->args[3]);
		put_ids(s, task, EXECVEAT_SID, EXECVEAT_PPID, EXECVEAT_START, EXECVEAT_VPID, EXECVEAT_MNTNS);
		return submit(s, LOST_EXECVE);
	default:
		return wrong_family(s);
	}
	s->busy = 0; /* an exec that succeeded */
	return 0;
}
_Static_assert(EXECVEAT_GID == EXECVE_GID && EXECVEAT_EXE == EXECVE_EXE, "execveat is execve without filename");
_Static_assert(FORK_SLOTS == CLONE_SLOTS && VFORK_SLOTS == CLONE_SLOTS && CLONE3_SLOTS == CLONE_SLOTS, "clone");
