/* SPDX-License-Identifier: Apache-2.0 */
/* Syscalls that make processes: clone and its kin on both sides, and execs that
 * failed; those that succeed come from the scheduler's tracepoint. */
#include "flags.h"
#include "exe.h"
#include "submit.h"

/* clone, fork, vfork and clone3 have the same parameters. */
FUNC int put_clone(struct scratch *s, u64 flags)
{
	struct task_struct *task = current_task();
	if (!s)
		return 0;
	struct task_struct *leader = READ(task, group_leader);
	u64 pid = task_thread_pid(task);
	u32 ppm = clone_flags(flags);

	struct nsproxy *nsproxy = READ(task, nsproxy);
	/* unshare and setns change the namespace of children only. */
	if (READ(AS(struct pid, pid), level) > 0 || flags & 0x20000000 /* CLONE_NEWPID */ ||
	    READ(nsproxy, pid_ns_for_children) != task_pid_ns(task))
		ppm |= CL_CHILD_IN_PIDNS;
	SLOT(s, CLONE_RES) = s->ret;
	put_process(s, task, READ(task, mm));
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
static int string_step([[maybe_unused]] u32 i, struct string_list *l)
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
	struct mm_struct *mm = READ(task, mm);
	u64 exe_file = mm ? LOAD64(&mm->exe_file) : 0;

	SLOT(s, EXECVE_RES) = s->ret;
	put_exec(s, task, mm, exe_file);
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

SEC("tp_btf/sys_exit")
int family_process(void)
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
		put_ids(s, task, EXECVE_SID);
		put_user_str(s, EXECVE_FILENAME, s->args[0]);
		return submit(s, LOST_EXECVE);
	case KIND_EXECVEAT:
		if (s->ret >= 0)
			break;
		BEGIN(EXECVEAT);
		put_failed_exec(s, s->args[2], s->args[3]);
		put_ids(s, task, EXECVEAT_SID);
		return submit(s, LOST_EXECVE);
	default:
		return wrong_family(s);
	}
	s->busy = 0; /* an exec that succeeded */
	return 0;
}
_Static_assert(FORK_SLOTS == CLONE_SLOTS && VFORK_SLOTS == CLONE_SLOTS && CLONE3_SLOTS == CLONE_SLOTS, "clone");
