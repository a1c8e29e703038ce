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

/* Is this file in this directory, the struct path at base, by this name? */
INLINE bool is_child(u64 *name, u32 n, u64 file, u64 base)
{
	u64 path = file_path(file);
	u64 dentry = LOAD64(path + FIELD_OFFSET(struct path, dentry));

	return LOAD64(dentry + FIELD_OFFSET(struct dentry, d_parent)) == LOAD64(base + FIELD_OFFSET(struct path, dentry)) &&
	       LOAD64(path + FIELD_OFFSET(struct path, mnt)) == LOAD64(base + FIELD_OFFSET(struct path, mnt)) &&
	       has_name(dentry, name, n);
}

/* Reads the path of a directory, on the notepad; its length, 0 if it has more than
 * one path. */
FUNC int dir_read(struct scratch *s, u64 base)
{
	if (!s)
		return 0;
	s->h.flags = 0;
	s->len = HEADER_SIZE;
	u32 len = path_append_at(s, base);
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
 * if that is not all, or if the directory has more than one path. What its path
 * meets is in its memo afterwards. */
INLINE u64 dir_of_child(struct scratch *s, u64 *name, u32 n, struct open_call *o, u64 base)
{
	struct open_filter *f = open_filter_get();

	o->subdir = o->facts & FACT_DIRECTORY ? LOAD64(file_path(o->file) + FIELD_OFFSET(struct path, dentry)) : 0;
	o->subdir_mix = o->subdir ? mix_in_parent(o->subdir) : 0;
	u64 id = f && is_child(name, n, o->file, base) ? dir_id(base, f->epoch) : 0;
	struct dir_memo *m = &s->dirs[id & (DIR_MEMOS - 1)];
	if (!id || m->id == id)
		return id;
	u32 len = dir_read(s, base);
	if (!len || dir_id(base, f->epoch) != id) /* or it was renamed meanwhile */
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
