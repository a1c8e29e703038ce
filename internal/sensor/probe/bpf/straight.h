/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Has a path led through directories alone? The kernel forgets where it led before
 * the call returns, so it is looked up again, in the cache of directory entries,
 * where all names on its way still are. A path without links, "." and ".." is the
 * name of where it led. Whatever cannot be found is no answer: an entry that is
 * gone by now, is one of too many, or has a long name.
 *
 * Entries and mounts are freed by RCU, which programs run under, and whatever
 * leaves a list keeps its place in it until then (fs/dcache.c, dentry_unlist).
 */
#pragma once
#include "walk.h"

/* The length of the name at an offset of the event, before the next slash or the
 * end of the path; 0 if it has none. */
FUNC int name_len(struct scratch *s, u32 at, u32 end)
{
	if (!s)
		return 0;
	for (u32 i = 0; i <= NAME_MAX; i++)
		if (at + i >= end || s->buf[(at + i) & BODY_MASK] == '/')
			return i;
	return 0;
}

/* Is it that of an entry: neither none, nor "." or ".."? */
INLINE bool is_entry_name(struct scratch *s, u32 at, u32 len)
{
	if (!len || len > 2 || s->buf[at & BODY_MASK] != '.')
		return len;
	return len == 2 && s->buf[(at + 1) & BODY_MASK] != '.';
}

#ifdef LEGACY

INLINE bool leads_straight(struct scratch *s, u64, u32 n, bool follows)
{
	return !follows && (u32)name_len(s, s->len, s->len + n) == n && is_entry_name(s, s->len, n);
}

#else

#define NAMES_ON_WAY 64
#define ENTRIES_LOOKED_AT 512 /* and mounts, on the whole way: some 10 us */
#define STACKED_MOUNTS 3      /* on one directory */

static int entry_step([[maybe_unused]] u32 i, struct scratch **of)
{
	struct scratch *s = *of;
	struct way *w = &s->way;
	u64 at = w->next;

	if (!at || !w->left)
		return 1;
	w->left--;
	u64 dentry = at - FIELD_OFFSET(struct dentry___children, d_sib);
	if (LOAD64(dentry + FIELD_OFFSET(struct dentry, d_parent)) != w->dentry)
		return 1; /* it was moved to another directory, whose entries follow */
	w->next = LOAD64(at);
	if (READ(AS(struct dentry, dentry), d_name.len) != w->len || !name_is_at(s, dentry, w->at, w->len))
		return 0;
	/* An entry of that name that was removed may still be in use. */
	if (!LOAD64(dentry + FIELD_OFFSET(struct dentry, d_hash.pprev)))
		return 0;
	w->found = dentry;
	return 1;
}

/* The type of what the way has come to, in the bits of a mode; 0 if it is nothing. */
INLINE u32 type_there(struct way *w)
{
	u64 inode = LOAD64(w->dentry + FIELD_OFFSET(struct dentry, d_inode));
	return inode ? READ(AS(struct inode, inode), i_mode) & S_IFMT : 0;
}

/* The way goes on to its next name; the type of what that is, in the bits of a
 * mode, 0 if it cannot be found. */
FUNC int enter_entry(struct scratch *s)
{
	if (!s || !FIELD_EXISTS(struct dentry___children, d_children) || !FIELD_EXISTS(struct dentry, d_hash.pprev))
		return 0;
	struct way *w = &s->way;

	w->found = 0;
	w->next = LOAD64(w->dentry + FIELD_OFFSET(struct dentry___children, d_children));
	bpf_loop(ENTRIES_LOOKED_AT, entry_step, &s, 0);
	if (!w->found)
		return 0;
	w->dentry = w->found;
	return type_there(w);
}

static int mount_step([[maybe_unused]] u32 i, struct scratch **of)
{
	struct way *w = &(*of)->way;
	u64 at = w->next, mount = at - FIELD_OFFSET(struct mount, mnt_child);

	if (at == w->mount + FIELD_OFFSET(struct mount, mnt_mounts)) {
		w->next = 0;
		return 1;
	}
	if (!w->left)
		return 1;
	w->left--;
	w->next = LOAD64(at);
	if (LOAD64(mount + FIELD_OFFSET(struct mount, mnt_mountpoint)) != w->dentry ||
	    LOAD64(mount + FIELD_OFFSET(struct mount, mnt_parent)) != w->mount)
		return 0;
	w->found = mount;
	return 1;
}

/* Of kernels before 6.15 BTF does not tell. */
INLINE bool may_be_mountpoint(u64 dentry)
{
	return !KERNEL_HAS_ENUM(enum dentry_flags, DCACHE_MOUNTED) ||
	       READ(AS(struct dentry, dentry), d_flags) & KERNEL_ENUM(enum dentry_flags, DCACHE_MOUNTED);
}

/* The way goes on to the root of what is mounted where it has come to; false if
 * nothing can be said. */
FUNC int enter_mounts(struct scratch *s)
{
	if (!s || !FIELD_EXISTS(struct mount, mnt_mounts) || !FIELD_EXISTS(struct mount, mnt_child))
		return 0;
	struct way *w = &s->way;

	for (int i = 0; i < STACKED_MOUNTS; i++) {
		if (!may_be_mountpoint(w->dentry))
			return 1;
		w->found = 0;
		w->next = LOAD64(w->mount + FIELD_OFFSET(struct mount, mnt_mounts));
		bpf_loop(ENTRIES_LOOKED_AT, mount_step, &s, 0);
		if (!w->found)
			return !w->next;
		w->mount = w->found;
		w->dentry = LOAD64(w->mount + FIELD_OFFSET(struct mount, mnt.mnt_root));
	}
	return 0;
}

static int way_step([[maybe_unused]] u32 i, struct scratch **of)
{
	struct scratch *s = *of;
	struct way *w = &s->way;
	u32 len = name_len(s, w->at, w->end);
	bool last = w->at + len == w->end;

	if (!is_entry_name(s, w->at, len))
		return 1;
	if (last && !w->follows) {
		w->straight = 1;
		return 1;
	}
	w->len = len;
	u32 type = enter_entry(s);
	if (!type || type == S_IFLNK || !enter_mounts(s))
		return 1;
	type = type_there(w); /* a link may be mounted on a file */
	if (last) {
		w->straight = type != S_IFLNK;
		return 1;
	}
	if (type != S_IFDIR)
		return 1;
	w->at += len + 1;
	w->straight = w->at == w->end; /* a slash at the end */
	return w->straight;
}

/* Does the path of n bytes at the tail lead through directories alone to the entry
 * that has its last name? It starts from a struct path if it is relative, else
 * from the root directory. If the call follows links, the entry must not be a
 * link. A name with a slash behind it must be a directory. */
FUNC int leads_straight(struct scratch *s, u64 from, u32 n, u32 follows)
{
	if (!s)
		return 0;
	struct way *w = &s->way;

	w->at = s->len;
	w->end = s->len + n;
	w->follows = follows;
	w->left = ENTRIES_LOOKED_AT;
	w->straight = 0;
	if (*tail(s) == '/') {
		struct task_struct *task = current_task();
		from = LOAD64(&task->fs) + FIELD_OFFSET(struct fs_struct, root);
		w->at++;
	}
	w->dentry = LOAD64(from + FIELD_OFFSET(struct path, dentry));
	w->mount = LOAD64(from + FIELD_OFFSET(struct path, mnt)) - FIELD_OFFSET(struct mount, mnt);
	bpf_loop(NAMES_ON_WAY, way_step, &s, 0);
	return w->straight;
}

#endif
