/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls with paths that no rule can match by these, as filter.h has it of opens:
 * those on entries of directories (unlink, mkdir, rename, ...), and those on what
 * a file is (chmod, stat, ...). A link on the way of a path would give the file
 * another name, by which rules judge it too. So only paths that lead through
 * directories alone are looked at (straight.h). The former calls follow no link at
 * the end; some of the latter do not either, but a path that ends in one is sent.
 */
#pragma once
#include "filter.h"
#include "straight.h"

#define AT_SYMLINK_FOLLOW 0x400

/* Where the paths are. */
struct entry_call {
	u64 names[2]; /* addresses; the second may be 0 */
	s32 dirfds[2];
	bool follows; /* the first name may be that of a link, which the call follows */
};

INLINE void entry_is(struct entry_call *e, s32 dirfd, u64 name)
{
	e->dirfds[0] = dirfd;
	e->names[0] = name;
}

INLINE void entries_are(struct entry_call *e, s32 dirfd, u64 name, s32 dirfd2, u64 name2)
{
	entry_is(e, dirfd, name);
	e->dirfds[1] = dirfd2;
	e->names[1] = name2;
}

INLINE void file_is(struct entry_call *e, s32 dirfd, u64 name)
{
	entry_is(e, dirfd, name);
	e->follows = true;
}

/* False for a call that is not looked at. */
INLINE bool entry_call_get(struct scratch *s, struct entry_call *e)
{
	switch (s->entry.kind) {
	case KIND_UNLINK:
	case KIND_RMDIR:
	case KIND_MKDIR:
	case KIND_MKNOD:
		entry_is(e, AT_FDCWD, s->args[0]);
		return true;
	case KIND_UNLINKAT:
	case KIND_MKDIRAT:
	case KIND_MKNODAT:
		entry_is(e, s->args[0], s->args[1]);
		return true;
	case KIND_RENAME:
	case KIND_LINK:
		entries_are(e, AT_FDCWD, s->args[0], AT_FDCWD, s->args[1]);
		return true;
	case KIND_LINKAT:
		entries_are(e, s->args[0], s->args[1], s->args[2], s->args[3]);
		e->follows = s->args[4] & AT_SYMLINK_FOLLOW;
		return true;
	case KIND_RENAMEAT:
	case KIND_RENAMEAT2:
		entries_are(e, s->args[0], s->args[1], s->args[2], s->args[3]);
		return true;
	case KIND_CHMOD:
	case KIND_CHOWN:
	case KIND_LCHOWN:
	case KIND_ACCESS:
	case KIND_STAT:
	case KIND_LSTAT:
	case KIND_TRUNCATE:
	case KIND_SETXATTR:
	case KIND_LSETXATTR:
		file_is(e, AT_FDCWD, s->args[0]);
		return true;
	case KIND_FCHMODAT:
	case KIND_FCHMODAT2:
	case KIND_FCHOWNAT:
	case KIND_NEWFSTATAT:
	case KIND_SETXATTRAT:
		file_is(e, s->args[0], s->args[1]);
		return true;
	}
	return false;
}

/* Adds what the paths of a name meet to those of the call; false where nothing
 * can be said. */
INLINE bool entry_add(struct scratch *s, struct task_struct *task, s32 dirfd, u64 name, bool follows)
{
	s->len = HEADER_SIZE;
	long n = bpf_probe_read_user_str(tail(s), FILTER_PATH + 1, (void *)name);
	if (n <= 1 || n > FILTER_PATH)
		return false;
	u64 base = *tail(s) == '/' ? 0 : base_path(task, dirfd);
	if ((*tail(s) != '/' && !base) || !leads_straight(s, base, n - 1, follows))
		return false;
	open_paths_add(s, 0, base, n - 1);
	return !(s->clauses[0] & FILTER_UNCLEAN);
}

/* Can any rule match this call? */
INLINE bool entry_needed(struct scratch *s, struct task_struct *task)
{
	struct open_filter *f = open_filter_get();
	struct entry_call e = {};

	if (!f || !entry_call_get(s, &e))
		return true;
	u64 needs = f->calls[BOUND(s->entry.kind, SOCKET_KINDS - 1)][s->ret >= 0];
	if (!needs || needs & FILTER_UNCLEAN) /* not a need: every such call is sent */
		return needs;
	paths_begin(s);
	if (!entry_add(s, task, e.dirfds[0], e.names[0], e.follows))
		return true;
	if (e.names[1] && !entry_add(s, task, e.dirfds[1], e.names[1], false))
		return true;
	u64 met = s->clauses[0] | f->rest[0];
#pragma unroll
	for (u32 i = 1; i < NEED_CLAUSES; i++)
		needs &= s->clauses[i] | f->rest[i];
	return needs_remain(s, task, f, needs, met);
}

#ifdef NO_GLOBAL_FUNCTIONS /* verified at each call, the paths are too much */
INLINE bool entry_left_out(struct scratch *, struct counters *, struct task_struct *)
{
	return false;
}
#else
/* True for a call that is left out, and counted. */
INLINE bool entry_left_out(struct scratch *s, struct counters *c, struct task_struct *task)
{
	u8 flags = s->h.flags; /* the filter's notepad is there */

	if (!interest.open_filter)
		return false;
	bool needed = entry_needed(s, task);
	s->h.flags = flags;
	if (!needed)
		leave_out(s, c);
	return !needed;
}
#endif
