/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler's tracepoints: successful execs, new processes, exits. */
#include "execfilter.h"
#include "flags.h"
#include "exe.h"
#include "openfds.h"
#include "submit.h"

/* The event in progress is told later, if at all. */
INLINE int leave_out_late(struct scratch *s)
{
	struct counters *c = counters_get();

	s->busy = 0;
	if (c)
		count_fate(s, c, FILTERED);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int sched_exec(u64 *ctx)
{
	struct linux_binprm *bprm = AS(struct linux_binprm, ctx[2]);
	struct task_struct *task = current_task();

	name_exec(task);
	struct scratch *s = begin(KIND_EXECVE, LOST_EXECVE);
	if (!s)
		return 0;
	struct mm_struct *mm = READ(task, mm);
	if (!mm) {
		s->busy = 0;
		return 0;
	}
	u64 exe_file = LOAD64(&mm->exe_file);

	look_at_open_fds(s, KIND_EXECVE);
	slots_clear(s, EXECVE_SLOTS);
	put_exec(s, task, mm, exe_file);
	put_ids(s, task, EXECVE_SID);
	put_args(s, EXECVE_EXE, EXECVE_ARGS);
	dir_is_said(s);
	put_cwd(s, EXECVE_CWD);
	put_comm(s, EXECVE_COMM);
	u64 groups = LOAD64(&task->cgroups);
	put_cgroups(s, EXECVE_CGROUPS, groups);
	put_cgroup_set(s, EXECVE_CGROUP_SET, groups);
	put_env(s, EXECVE_ENV);
	put_file_path(s, EXECVE_TRUSTED_EXEPATH, exe_file);
	put_kernel_str(s, EXECVE_FILENAME, LOAD64(&bprm->filename));
	SLOT(s, EXECVE_PIDNS_INIT_START_TS) = pid_ns_start(task) + boot_epoch;
	if (hold_exec(s, task))
		return leave_out_late(s);
	return submit(s, LOST_EXECVE);
}

/* Where the process of a main thread is now, told before its first event there. */
INLINE int put_move(struct task_struct *task)
{
	struct scratch *s = begin(KIND_PROCMOVE, LOST_OTHER_INTEREST);
	if (!s)
		return 0;
	header_of_task(s, task, KIND_PROCMOVE);
	slots_clear(s, PROCMOVE_SLOTS);
	u64 groups = LOAD64(&task->cgroups);
	put_cgroups(s, PROCMOVE_CGROUPS, groups);
	put_cgroup_set(s, PROCMOVE_CGROUP_SET, groups);
	return submit(s, LOST_OTHER_INTEREST);
}

/* A task has been moved, in the hierarchy of either version: dst_cgrp, path,
 * task, threadgroup (include/trace/events/cgroup.h). Of a process its main
 * thread is told. */
SEC("tp_btf/cgroup_attach_task")
int cgroup_attach(u64 *ctx)
{
	struct task_struct *task = AS(struct task_struct, ctx[2]);

	if (READ(task, pid) != READ(task, tgid))
		return 0;
	return put_move(task);
}

/* Is the new task in the current one's pid namespace? */
INLINE bool in_same_pid_ns(struct task_struct *child)
{
	return (u64)task_pid_ns(child) == (u64)task_pid_ns(current_task());
}

/* Holds the record of a fork, with the directory that the child inherits if user
 * space does not know it. A parent that is not held itself tells it once. */
INLINE bool hold_fork_in_dir(struct scratch *s, u32 child)
{
	u32 len = s->len;

	if (likely(!dir_is_moved(s->h.pid)))
		return hold_fork(s, child);
	if (!is_held(s->h.pid))
		return false;
	put_dir(s);
	if (hold_fork(s, child))
		return true;
	s->len = len;
	s->h.flags &= ~EVENT_CWD;
	return false;
}

/* A new process, not a thread; in the parent, before the child runs. */
SEC("tp_btf/sched_process_fork")
int sched_fork(u64 *ctx)
{
	struct task_struct *child = AS(struct task_struct, ctx[1]);

	if (child->pid != child->tgid) {
		note_thread(child->tgid);
		return 0;
	}
	name_fork(READ(current_task(), tgid), child->tgid);
	struct scratch *s = begin(KIND_PROCFORK, LOST_CLONE_FORK);
	if (!s)
		return 0;
	struct task_struct *parent = READ(child, real_parent);
	struct cred *cred = READ(child, cred);
	struct css_set *css = READ(child, cgroups);
	struct cgroup *cgroup = READ(css, dfl_cgrp);
	struct kernfs_node *kn = READ(cgroup, kn);
	u32 vpid = pid_vnr(task_thread_pid(child));

	slots_clear(s, PROCFORK_SLOTS);
	SLOT(s, PROCFORK_CHILD) = child->pid;
	SLOT(s, PROCFORK_PPID) = READ(parent, tgid);
	SLOT(s, PROCFORK_VPID) = vpid;
	SLOT(s, PROCFORK_VTID) = vpid;
	SLOT(s, PROCFORK_SID) = pid_vnr(signal_pid(child, PIDTYPE_SID));
	SLOT(s, PROCFORK_PGID) = pid_nr(signal_pid(child, PIDTYPE_PGID));
	SLOT(s, PROCFORK_VPGID) = pid_vnr(signal_pid(child, PIDTYPE_PGID));
	SLOT(s, PROCFORK_START) = child->start_boottime;
	SLOT(s, PROCFORK_UID) = READ(cred, euid.val);
	SLOT(s, PROCFORK_GID) = READ(cred, egid.val);
	SLOT(s, PROCFORK_CGROUP) = READ(kn, id);
	SLOT(s, PROCFORK_PIDNS_INIT_START_TS) = pid_ns_start(child) + boot_epoch;
	bool moved = css != READ(current_task(), cgroups); /* CLONE_INTO_CGROUP */
	if (!moved && SLOT(s, PROCFORK_PPID) == s->h.pid && in_same_pid_ns(child) && hold_fork_in_dir(s, child->pid))
		return leave_out_late(s);
	submit(s, LOST_CLONE_FORK);
	if (moved)
		put_move(child);
	return 0;
}

#define REAPER_STEPS 16

/* Who inherits the children of a dying process (kernel/exit.c,
 * find_new_reaper): the nearest ancestor that asked to, else the init of the
 * pid namespace. 0 if there are no children. */
INLINE u32 find_reaper(struct task_struct *task)
{
	u64 children = (u64)&task->children;
	struct pid_namespace *ns;
	struct task_struct *init;

	if (LOAD64(&task->children) == children)
		return 0;
	ns = task_pid_ns(task);
	init = READ(ns, child_reaper);
	struct signal_struct *signal = READ(task, signal);
	if (LOAD_BITS(signal, struct signal_struct, has_child_subreaper)) {
		struct task_struct *p = READ(task, real_parent);
		for (int i = 0; i < REAPER_STEPS && (u64)p != (u64)init; i++) {
			signal = READ(p, signal);
			if (LOAD_BITS(signal, struct signal_struct, is_child_subreaper))
				return READ(p, tgid); /* its first thread */
			p = READ(p, real_parent);
		}
	}
	return READ(init, pid);
}

SEC("tp_btf/sched_process_exit")
int sched_exit(u64 *ctx)
{
	struct task_struct *task = AS(struct task_struct, ctx[0]);
	struct signal_struct *signal = READ(task, signal);
	/* 6.16 and later say whether it was the last thread. */
	bool last = has_group_dead ? ctx[1] : READ(signal, live.counter) == 0;

	if (last)
		name_exit(READ(task, tgid));
	else if (!interest.thread_exits)
		return 0;
	bool untold = last && untold_ends(task);
	struct scratch *s = begin(KIND_PROCEXIT, LOST_PROC);
	if (!s)
		return 0;
	if (untold) {
		dir_is_told(s->h.pid);
		return leave_out_late(s);
	}
	int code = READ(task, exit_code);

	slots_clear(s, PROCEXIT_SLOTS);
	if (!last)
		s->h.flags |= EVENT_THREAD_EXIT;
	SLOT(s, PROCEXIT_STATUS) = code;
	SLOT(s, PROCEXIT_RET) = code >> 8 & 0xff;
	SLOT(s, PROCEXIT_SIG) = code & 0x7f;
	SLOT(s, PROCEXIT_CORE) = (code & 0x80) != 0;
	SLOT(s, PROCEXIT_REAPER_TID) = last ? find_reaper(task) : 0;
	submit(s, LOST_PROC);
	if (last)
		dir_is_told(READ(task, tgid));
	return 0;
}
