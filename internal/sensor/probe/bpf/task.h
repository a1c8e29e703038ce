/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about a task: ids, namespaces, credentials, memory. */
#pragma once
#include "cwd.h"
#include "record.h"

/* The task's id in its own pid namespace, and that namespace. A struct pid
 * ends in an array of one upid per level of nesting (kernel/pid.c). */
INLINE struct upid *pid_innermost(u64 pid)
{
	u32 level = READ(AS(struct pid, pid), level);
	return AS(struct upid, pid + FIELD_OFFSET(struct pid, numbers) + (u64)(level & 31) * KERNEL_SIZE(struct upid));
}

/* The number of pid in the namespace it was made in; 0 for none. */
INLINE u32 pid_vnr(u64 pid)
{
	return pid ? READ(pid_innermost(pid), nr) : 0;
}

/* The number in the initial namespace. */
INLINE u32 pid_nr(u64 pid)
{
	return pid ? READ(AS(struct pid, pid), numbers[0].nr) : 0;
}

INLINE u64 task_thread_pid(struct task_struct *task)
{
	return LOAD64(&task->thread_pid);
}

INLINE u64 signal_pid(struct task_struct *task, u32 type)
{
	u64 signal = LOAD64(&task->signal);
	return signal ? LOAD64(signal + FIELD_OFFSET(struct signal_struct, pids) + 8 * type) : 0;
}

INLINE struct pid_namespace *task_pid_ns(struct task_struct *task)
{
	u64 pid = task_thread_pid(task);
	return READ(pid_innermost(pid), ns);
}

/* Boot-time ns at which the process's pid namespace got its first task. */
INLINE u64 pid_ns_start(struct task_struct *task)
{
	struct pid_namespace *ns = task_pid_ns(task);
	struct task_struct *init = READ(ns, child_reaper);
	return READ(init, start_boottime);
}

INLINE u64 cap_value(struct cred *cred, u32 offset)
{
	return LOAD64((const char *)cred + offset);
}

INLINE void header_of_task(struct scratch *s, struct task_struct *task, u32 kind)
{
	struct event_header *h = &s->h;
	struct task_struct *parent = READ(task, real_parent);
	struct task_struct *leader = READ(task, group_leader);
	struct cred *cred = READ(task, cred);
	struct nsproxy *nsproxy = READ(task, nsproxy);
	struct css_set *css = READ(task, cgroups);
	u64 pid = task_thread_pid(task);

	h->time = bpf_ktime_get_boot_ns();
	h->kind = kind;
	h->flags = 0;
	h->res = 0;
	h->syscall = NO_SYSCALL;
	h->cpu = s->cpu;
	h->tid = READ(task, pid);
	h->pid = READ(task, tgid);
	h->ppid = READ(parent, tgid);
	h->uid = READ(cred, euid.val);
	h->gid = READ(cred, egid.val);
	h->login_uid = FIELD_EXISTS(struct task_struct, loginuid) ? READ(task, loginuid.val) : (u32)-1;
	struct cgroup *cgroup = READ(css, dfl_cgrp);
	struct kernfs_node *kn = READ(cgroup, kn);
	h->cgroup = READ(kn, id);
	struct mnt_namespace *mnt_ns = READ(nsproxy, mnt_ns);
	h->mnt_ns = READ(mnt_ns, ns.inum);
	h->start = READ(leader, start_boottime);
	h->exec_id = READ(task, self_exec_id);
	h->vtid = 0;
	h->pid_ns = 0;
	if (likely(pid)) {
		struct upid *upid = pid_innermost(pid);
		struct pid_namespace *ns = READ(upid, ns);
		h->vtid = READ(upid, nr);
		h->pid_ns = READ(ns, ns.inum);
	}
}

FUNC int header_fill(struct scratch *s, u32 kind)
{
	if (!s)
		return 0;
	dir_look(s);
	header_of_task(s, current_task(), kind);
	return 0;
}

/* Start an event that is not a syscall's: claims the scratch buffer, or counts
 * the event as lost. */
INLINE struct scratch *begin(u32 kind, u32 category)
{
	struct scratch *s = scratch_get();
	struct counters *c = counters_get();

	if (!s || !c)
		return NULL;
	c->seen++;
	if (unlikely(s->busy)) {
		count_lost(c, FAMILY_NONE, DROP_SCRATCH, category);
		s->lost++;
		return NULL;
	}
	s->busy = 1;
	s->entry.all = 0;
	s->cpu = bpf_get_smp_processor_id();
	if (unlikely(timed))
		s->began = bpf_ktime_get_boot_ns();
	s->peer.family = 0;
	s->role = s->direction = 0;
	s->fds_told = 0;
	header_fill(s, kind);
	return s;
}

/* Start the event of the syscall in s->entry, n slots of which are zeroed. */
INLINE void begin_syscall(struct scratch *s, u32 kind, u32 n)
{
	u8 flags = s->h.flags; /* Compat, set by the dispatcher */
	header_fill(s, kind);
	s->h.flags = flags;
	s->h.res = s->ret;
	s->h.syscall = s->entry.id;
	s->role = s->direction = 0;
	s->file_slot = 0;
	slots_clear(s, n);
}

#define BEGIN(K) begin_syscall(s, KIND_##K, K##_SLOTS)

/* Kilobytes of virtual, resident and swapped memory. */
struct mem_use {
	u32 size, rss, swap;
};

INLINE long mm_counter(struct mm_struct *mm, u32 i)
{
	long n;

	if (FIELD_EXISTS(struct mm_struct___old, rss_stat.count))
		n = LOAD64((u64)FIELD_OFFSET(struct mm_struct___old, rss_stat.count) + (char *)mm + 8 * i);
	else
		n = LOAD64((u64)FIELD_OFFSET(struct mm_struct, rss_stat) + (char *)mm +
			   i * KERNEL_SIZE(struct percpu_counter) + FIELD_OFFSET(struct percpu_counter, count));
	return n > 0 ? n : 0;
}

enum { MM_FILE, MM_ANON, MM_SWAP, MM_SHMEM };

INLINE struct mem_use mm_use(struct mm_struct *mm)
{
	struct mem_use m = {};

	if (!mm)
		return m;
	m.size = READ(mm, total_vm) * page_kib;
	m.rss = (mm_counter(mm, MM_FILE) + mm_counter(mm, MM_ANON) + mm_counter(mm, MM_SHMEM)) * page_kib;
	m.swap = mm_counter(mm, MM_SWAP) * page_kib;
	return m;
}

/* The controlling terminal as the kernel's old encoding of a device number,
 * which is what Falco's tty parameter and /proc/PID/stat have. */
INLINE u32 task_tty(struct task_struct *task)
{
	struct signal_struct *signal = READ(task, signal);
	struct tty_struct *tty = READ(signal, tty);
	if (!tty)
		return 0;
	struct tty_driver *driver = READ(tty, driver);
	u32 major = READ(driver, major);
	u32 minor = READ(driver, minor_start) + READ(tty, index);
	return (minor & 0xff) | major << 8 | (minor & ~0xff) << 12;
}
