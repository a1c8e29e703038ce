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

/* The directories of the current process. */
INLINE u64 current_fs(void)
{
	struct task_struct *task = current_task();
	u64 fs = process_fs(task);

	return fs ? fs : LOAD64(&task->fs);
}

/* Append the directory of the current process. */
INLINE void put_dir(struct scratch *s)
{
	append_dir(s, current_fs());
}

INLINE struct dir dir_at(u64 fs)
{
	u64 pwd = fs + FIELD_OFFSET(struct fs_struct, pwd);

	return (struct dir){ LOAD64(pwd + FIELD_OFFSET(struct path, dentry)), LOAD64(pwd + FIELD_OFFSET(struct path, mnt)) };
}

/*
 * Threads of a process send events at the same time, and one of them tells the
 * directory. An event without it must come behind that one, in the ring and by its
 * time. So an event looks for the note before it reads the clock, and the note
 * stays until the directory is in the ring. Another thread may have changed the
 * directory meanwhile, and its note goes with the old one: then the directory is
 * no longer the one told, and is noted again.
 */

/* Before the clock is read: is an event of the current process to tell the
 * directory? */
INLINE void dir_look(struct scratch *s)
{
	struct task_struct *task = current_task();
	u32 pid = READ(task, tgid);

	s->moved_dir.dentry = 0;
	if (unlikely(dir_is_moved(pid)))
		s->moved_dir = dir_at(current_fs());
}

/* Append the directory if it is to be told: to an event of the current process,
 * not of one that it made. */
INLINE void put_moved_dir(struct scratch *s)
{
	struct task_struct *task = current_task();
	u32 pid = READ(task, tgid);

	if (likely(!s->moved_dir.dentry))
		return;
	if (s->h.pid == pid)
		put_dir(s);
	else
		s->moved_dir.dentry = 0;
}

/* The event in progress says it in a slot of its own. */
INLINE void dir_is_said(struct scratch *s)
{
	dir_is_told(s->h.pid);
	s->moved_dir.dentry = 0;
}

/* The event in progress is in the ring. */
INLINE void dir_in_ring(struct scratch *s)
{
	u32 pid = s->h.pid;

	if (likely(!s->moved_dir.dentry))
		return;
	dir_is_told(pid);
	struct dir now = dir_at(current_fs());
	if (now.dentry != s->moved_dir.dentry || now.mount != s->moved_dir.mount)
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

INLINE void dir_look(struct scratch *)
{
}

INLINE void put_moved_dir(struct scratch *)
{
}

INLINE void dir_is_said(struct scratch *)
{
}

INLINE void dir_in_ring(struct scratch *)
{
}

#endif
