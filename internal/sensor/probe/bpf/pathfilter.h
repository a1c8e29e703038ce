/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The automaton of the rules' patterns on paths (plan/pathset), and what the paths
 * of a call meet of them.
 */
#pragma once
#include "file.h"
#include "memo.h"

#define FILTER_STATES 4096
#define FILTER_CLASSES 64
#define FILTER_PATH 255 /* read at once */
#ifdef NO_GLOBAL_FUNCTIONS
#define LONG_PATH FILTER_PATH
#else
#define LONG_PATH (4 * FILTER_PATH) /* less than MaxPath of internal/sensor/field */
#endif
#define PATH_ROOM 1024 /* for one on the notepad */

/* Needs of which some text meets the clause, by clause, and those that it
 * excludes. */
struct clauses {
	u64 met[NEED_CLAUSES];
	u64 excluded;
};

struct open_filter {
	u64 epoch; /* no two filters have the same */
	u64 always; /* combinations of facts */
	u64 named; /* needs whose first clause some name meets */
	u64 rest[NEED_CLAUSES]; /* clauses that are met anyhow */
	u64 facts[64]; /* needs by combination of facts */
	u64 calls[SOCKET_KINDS][2]; /* of other calls by kind, failed and not; see entryfilter.h */
	u8 classes[256];
	u16 next[FILTER_STATES * FILTER_CLASSES];
	struct clauses seen[FILTER_STATES];
	struct clauses end[FILTER_STATES];
};

/* Two: one in use, one to be written. */
extern struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct open_filter);
} open_filters SEC(".maps");

INLINE struct open_filter *open_filter_get(void)
{
	u32 i = interest.open_filter - 1;
	return bpf_map_lookup_elem(&open_filters, &i);
}

INLINE void clauses_add(struct scratch *s, const struct clauses *c)
{
#pragma unroll
	for (u32 i = 0; i < NEED_CLAUSES; i++)
		s->clauses[i] |= c->met[i];
}

INLINE u32 next_state(struct open_filter *f, u32 state, u8 c)
{
	u32 class = f->classes[c] & (FILTER_CLASSES - 1);
	return f->next[BOUND(state * FILTER_CLASSES + class, FILTER_STATES * FILTER_CLASSES - 1)];
}

#ifdef NO_GLOBAL_FUNCTIONS
#define FILTER_PART FILTER_PATH
#else
#define FILTER_PART 32 /* the verifier looks at one, however many a path has */
#endif

/* Reads on from s->state over the first FILTER_PART of the s->unread bytes at an
 * offset of the event; how many are left. */
FUNC int part_read(struct scratch *s, u32 at)
{
	struct open_filter *f = open_filter_get();

	if (!s || !f)
		return 0;
	u64 excluded = 0;
	u32 n = s->unread;
	u32 state = BOUND(s->state, FILTER_STATES - 1);
	for (u32 i = 0; i < FILTER_PART; i++) {
		if (i >= n)
			break;
		u32 next = next_state(f, state, s->buf[(at + i) & BODY_MASK]);
		state = BOUND(next, FILTER_STATES - 1);
		if (unlikely(next & FILTER_OUTPUT)) {
			clauses_add(s, &f->seen[state]);
			excluded |= f->seen[state].excluded;
		}
	}
	s->state = state;
	s->path_excluded |= excluded;
	s->unread = n > FILTER_PART ? n - FILTER_PART : 0;
	return s->unread;
}

/* Reads on from s->state over n bytes, at most LONG_PATH. */
INLINE void path_read(struct scratch *s, u32 at, u32 n)
{
	s->unread = n;
	for (u32 done = 0; done < LONG_PATH; done += FILTER_PART)
		if (!part_read(s, at + done))
			break;
}

/* Begins to read a path. */
INLINE void path_begin(struct scratch *s, struct open_filter *f)
{
	s->state = 0;
	s->path_excluded = 0;
	clauses_add(s, &f->seen[0]);
}

/* Adds what the path that was read meets; a need is excluded if every path
 * excludes it. A slash at the end is not in the name, but in the text. */
INLINE void path_end(struct scratch *s, struct open_filter *f, bool slash)
{
	u32 state = BOUND(s->state, FILTER_STATES - 1);

	clauses_add(s, &f->end[state]);
	s->path_excluded |= f->end[state].excluded;
	if (slash) {
		s->path_excluded = 0; /* which may be for the slash */
		state = BOUND(next_state(f, state, '/'), FILTER_STATES - 1);
		clauses_add(s, &f->seen[state]);
		clauses_add(s, &f->end[state]);
	}
	s->excluded &= s->path_excluded;
}

/* Adds what the path that is n bytes at an offset of the event meets. */
FUNC int open_path_add(struct scratch *s, u32 at, u32 n)
{
	struct open_filter *f = open_filter_get();

	if (!s)
		return 0;
	if (!f || !n || n > LONG_PATH) {
		s->clauses[0] |= FILTER_UNCLEAN;
		return 0;
	}
	bool slash = s->buf[(at + n - 1) & BODY_MASK] == '/';
	path_begin(s, f);
	path_read(s, at, slash ? n - 1 : n);
	path_end(s, f, slash);
	return 0;
}

_Static_assert(FACT_READ == OPEN_READ && FACT_WRITE == OPEN_WRITE, "the lowest facts are flags");

/* Adds the n bytes at an offset and the other views of the path of len bytes
 * that they start with. */
INLINE void add_path_views(struct scratch *s, u32 at, [[maybe_unused]] u32 len, u32 n)
{
	struct views *v = &s->views;

	open_path_add(s, at, n);
#ifdef NO_GLOBAL_FUNCTIONS /* verified at each call, five paths are too much */
	if (v->own | v->mount)
		s->clauses[0] |= FILTER_UNCLEAN;
#else
	if (unlikely(v->own && v->own <= len))
		open_path_add(s, at + v->own, n - v->own);
	if (unlikely(v->mount && v->mount <= len))
		open_path_add(s, at + v->mount, n - v->mount);
#endif
}

/* No path has been added yet. */
INLINE void paths_begin(struct scratch *s)
{
#pragma unroll
	for (u32 i = 0; i < NEED_CLAUSES; i++)
		s->clauses[i] = 0;
	s->excluded = ~0ull;
}

#define NAME_MAX 255 /* include/uapi/linux/limits.h */

/* The length of the directory of the path of len bytes at an offset of the event;
 * 0 if its last name is too long for one. */
FUNC int parent_len(struct scratch *s, u32 at, u32 len)
{
	if (!s)
		return 0;
	for (u32 i = 1; i <= NAME_MAX + 1; i++) {
		if (i > len)
			return 0;
		if (s->buf[(at + len - i) & BODY_MASK] == '/')
			return len > i ? len - i : 1;
	}
	return 0;
}

/* Programs that walk trees go back by "..", which has a clean name: what precedes
 * the last one of its base, unless that has other views. */
INLINE bool leads_up(struct scratch *s, u32 given, u32 n)
{
	return n == 2 && s->buf[given & BODY_MASK] == '.' && s->buf[(given + 1) & BODY_MASK] == '.' &&
	       !(s->views.own | s->views.mount);
}

/* Adds the path that is n bytes at an offset of the event, behind its base; how
 * long they are together, which is at s->len. */
INLINE u32 joined_add(struct scratch *s, u64 base, u32 given, u32 n)
{
	u32 at = s->len = given + PATH_ROOM;
	u32 len = path_append_at(s, base);
	u32 up = leads_up(s, given, n) ? parent_len(s, at, len) : 0;

	if (up) {
		open_path_add(s, at, up);
		return up;
	}
	if (len == 1) /* "/" */
		len = 0;
	s->buf[(at + len) & BODY_MASK] = '/';
	bpf_probe_read_kernel(&s->buf[(at + len + 1) & BODY_MASK], BOUND(n, PATH_ROOM - 1), &s->buf[given & BODY_MASK]);
	add_path_views(s, at, len, n + len + 1);
	return n + len + 1;
}

/* Adds what the paths of a call meet together: the one that was given, n bytes at
 * the tail, that behind its base if it has one, and the one that it led to. To
 * s->clauses and s->excluded. */
FUNC int open_paths_add(struct scratch *s, u64 file, u64 base, u32 n)
{
	if (!s)
		return 0;
	u32 at = s->len;
	s->h.flags = 0;
	open_path_add(s, at, n);
	if (base) {
		s->excluded = ~0ull; /* a relative path is part of a name */
		n = joined_add(s, base, at, n);
		at = s->len;
	}
	if (file && !(s->clauses[0] & FILTER_UNCLEAN) && !file_is_at(s, file, at, n)) {
		s->len = at + PATH_ROOM;
		u32 len = path_append_at(s, file_path(file));
		add_path_views(s, s->len, len, len);
	}
	if (s->h.flags & EVENT_TRUNCATED) /* of a path that is cut, the beginning is not known */
		s->clauses[0] |= FILTER_UNCLEAN;
	return 0;
}
