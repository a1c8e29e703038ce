/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens of a file by its name in an open directory, or the current one: of a tree
 * that is walked, for the most part. The path of the directory is read by the
 * automaton once, and each name from where that has come to. The name that was
 * given, behind that path, is the path that it led to.
 */
#pragma once
#include "pathfilter.h"

#ifdef LEGACY

INLINE u64 dir_of_child(struct scratch *, u64 *, u32, struct open_call *, u64)
{
	return 0; /* directories have no numbers there */
}

INLINE bool child_paths_add(struct scratch *, u32)
{
	return false;
}

#else

/* Is this the name of a dentry, n bytes with zeros behind them? Longer ones are not
 * looked at. */
INLINE bool has_name(u64 dentry, u64 *name, u32 n)
{
	u64 from = LOAD64(dentry + FIELD_OFFSET(struct dentry, d_name.name)), diff = 0;

	if (READ(AS(struct dentry, dentry), d_name.len) != n)
		return false;
	for (u32 i = 0; i < MEMO_PATH / 8; i++) {
		if (8 * i >= n)
			return true;
		diff = LOAD64(from + 8 * i) ^ name[i];
		if (n - 8 * i < 8)
			diff <<= 64 - 8 * (n & 7); /* little-endian: the low bytes count */
		if (diff)
			return false;
	}
	return n == MEMO_PATH;
}

INLINE u64 mix_in_parent(u64 dentry)
{
	return dentry_mix(dentry, LOAD64(dentry + FIELD_OFFSET(struct dentry, d_parent)));
}

/* Is this directory of a mount the struct path at an address? */
INLINE bool is_at(u64 dir, u64 mnt, u64 path)
{
	return dir == LOAD64(path + FIELD_OFFSET(struct path, dentry)) && mnt == LOAD64(path + FIELD_OFFSET(struct path, mnt));
}

/* The number of the directory of the open; 0 if absent. */
FUNC u64 parent_id(struct scratch *s)
{
	struct open_filter *f = open_filter_get();

	return s && f ? dir_id(s->open.parent, s->open.mnt, f->epoch) : 0;
}

/* Reads the path of the directory of the open, on the notepad; its length, 0 if it
 * has more than one path. */
FUNC int parent_read(struct scratch *s)
{
	if (!s)
		return 0;
	s->h.flags = 0;
	s->len = HEADER_SIZE;
	u32 len = path_append(s, s->open.parent, s->open.mnt);
	struct open_filter *f = open_filter_get();
	if (!f || s->views.own | s->views.mount || s->h.flags & EVENT_TRUNCATED || len >= LONG_PATH)
		return 0;
	if (len > 1) { /* not "/" */
		s->buf[(HEADER_SIZE + len) & BODY_MASK] = '/';
		len++;
	}
	paths_begin(s);
	path_begin(s, f);
	path_read(s, HEADER_SIZE, len);
	return len;
}

/* The number of the directory in which the file is by the name that was given; 0
 * if that is not its base, or if the directory has more than one path. What its path
 * meets is in its memo afterwards. All goes by the directory of the file: the base
 * can be another one at any time. */
INLINE u64 dir_of_child(struct scratch *s, u64 *name, u32 n, struct open_call *o, u64 base)
{
	u64 path = file_path(o->file);
	u64 dentry = LOAD64(path + FIELD_OFFSET(struct path, dentry));

	o->mnt = LOAD64(path + FIELD_OFFSET(struct path, mnt));
	o->parent = LOAD64(dentry + FIELD_OFFSET(struct dentry, d_parent));
	/* The root of the task has two paths, and so has what is below it. */
	o->subdir = o->facts & FACT_DIRECTORY && !is_at(dentry, o->mnt, task_root()) ? dentry : 0;
	o->subdir_mix = dentry_mix(dentry, o->parent);
	if (!is_at(o->parent, o->mnt, base) || !has_name(dentry, name, n))
		return 0;
	u64 id = parent_id(s);
	struct dir_memo *m = &s->dirs[id & (DIR_MEMOS - 1)];
	if (!id || m->id == id)
		return id;
	u32 len = parent_read(s);
	if (!len || parent_id(s) != id) /* or it was renamed meanwhile */
		return 0;
	m->id = id;
	m->len = len;
	m->state = s->state;
	m->excluded = s->path_excluded;
#pragma unroll
	for (u32 i = 0; i < NEED_CLAUSES; i++)
		m->clauses[i] = s->clauses[i];
	return id;
}

/* Notes how far the automaton has come with the path of a directory, whose name was
 * read last. */
INLINE void dir_note(struct scratch *s, struct open_filter *f, struct dir_memo *m)
{
	u32 state = next_state(f, BOUND(s->state, FILTER_STATES - 1), '/');

	m->state = BOUND(state, FILTER_STATES - 1);
	m->excluded = s->path_excluded | f->seen[m->state & (FILTER_STATES - 1)].excluded;
#pragma unroll
	for (u32 i = 0; i < NEED_CLAUSES; i++)
		m->clauses[i] = s->clauses[i] | f->seen[m->state & (FILTER_STATES - 1)].met[i];
}

/* Begins with what is met by the path of the name that is n bytes at the tail, in
 * the directory of the open; 0 if it is too long. A directory is noted in turn: that it
 * is opened is a sign that what is in it follows. */
FUNC int child_path_add(struct scratch *s, u32 n)
{
	struct open_filter *f = open_filter_get();

	if (!s || !f)
		return 0;
	struct open_call *o = &s->open;
	struct dir_memo *m = &s->dirs[o->dir & (DIR_MEMOS - 1)];
	u32 len = m->len + n;
	if (len > LONG_PATH)
		return 0;
	s->state = m->state;
	s->path_excluded = m->excluded;
	s->excluded = ~0ull;
#pragma unroll
	for (u32 i = 0; i < NEED_CLAUSES; i++)
		s->clauses[i] = m->clauses[i];
	path_read(s, s->len, n);
	if (o->subdir && mix_in_parent(o->subdir) == o->subdir_mix) { /* it still has this name */
		u64 id = o->dir + o->subdir_mix;
		m = &s->dirs[id & (DIR_MEMOS - 1)];
		m->id = id;
		m->len = len + 1;
		dir_note(s, f, m);
	}
	path_end(s, f, false);
	return 1;
}

/* As open_paths_add, of the name that is n bytes at the tail, in the
 * directory of the open; false if they are too long together. */
INLINE bool child_paths_add(struct scratch *s, u32 n)
{
	if (!child_path_add(s, n))
		return false;
	s->open.excluded = s->excluded;
	open_path_add(s, s->len, n);
	s->excluded = s->open.excluded; /* the name is part of a path */
	return true;
}

#endif
