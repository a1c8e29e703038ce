/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The working directory of processes that have changed it by a call that no
 * rule wanted. The call is not sent: the next event of the process that is sent
 * has the directory at its end (event.View.CWD). The oldest kernels would verify
 * the walk to it at each place, so there every such call is sent.
 */
#pragma once
#include "walk.h"

#ifndef NO_GLOBAL_FUNCTIONS

/* The processes whose directory user space does not know. */
extern struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, u32);
} moved_dirs SEC(".maps");

/* The directories of the task's process, 0 if its main thread has ended. */
INLINE u64 process_fs(struct task_struct *task)
{
	struct task_struct *leader = READ(task, group_leader);
	return LOAD64(&leader->fs);
}

/* Does the next event tell what this call has done? Not if there is no room to
 * note it, or if the thread has a directory of its own. */
INLINE bool dir_told_later(struct scratch *s, struct task_struct *task)
{
	u32 pid = READ(task, tgid);

	if (s->ret < 0 || (s->entry.kind != KIND_CHDIR && s->entry.kind != KIND_FCHDIR))
		return true;
	return LOAD64(&task->fs) == process_fs(task) && !bpf_map_update_elem(&moved_dirs, &pid, &pid, 0);
}

INLINE void dir_is_told(u32 pid)
{
	bpf_map_delete_elem(&moved_dirs, &pid);
}

/* Is the next event of the process to tell its directory? */
INLINE bool dir_is_moved(u32 pid)
{
	return bpf_map_lookup_elem(&moved_dirs, &pid);
}

/* The directory, the rest of its last eight bytes, and its length. */
FUNC int append_dir(struct scratch *s, u64 fs)
{
	if (!s)
		return 0;
	s->len = (s->len + 7) & ~7; /* there is room for it behind BODY_MAX */
	u32 n = path_append_at(s, fs + FIELD_OFFSET(struct fs_struct, pwd));
	s->len += (n + 7) & ~7;
	*(u64 *)tail(s) = n;
	s->len += sizeof(u64);
	s->h.flags |= EVENT_CWD;
	return 1;
}

/* Append the directory of the current process. */
INLINE void put_dir(struct scratch *s)
{
	struct task_struct *task = current_task();
	u64 fs = process_fs(task);

	append_dir(s, fs ? fs : LOAD64(&task->fs));
}

/* Append the directory to an event of the current process if it is to be told.
 * The note goes first: what another thread notes from here on is told by a later
 * event. */
INLINE void put_moved_dir(struct scratch *s)
{
	struct task_struct *task = current_task();
	u32 pid = READ(task, tgid);

	if (s->h.pid != pid || likely(!bpf_map_lookup_elem(&moved_dirs, &pid)))
		return;
	dir_is_told(pid);
	put_dir(s);
}

/* The event that has the directory was lost. */
INLINE void dir_not_told(struct scratch *s)
{
	u32 pid = s->h.pid;

	if (s->h.flags & EVENT_CWD)
		bpf_map_update_elem(&moved_dirs, &pid, &pid, 0);
}

#else

INLINE void put_dir(struct scratch *)
{
}

INLINE bool dir_told_later(struct scratch *s, struct task_struct *)
{
	return s->ret < 0 || (s->entry.kind != KIND_CHDIR && s->entry.kind != KIND_FCHDIR);
}

INLINE void dir_is_told(u32)
{
}

INLINE bool dir_is_moved(u32)
{
	return false;
}

INLINE void put_moved_dir(struct scratch *)
{
}

INLINE void dir_not_told(struct scratch *)
{
}

#endif
