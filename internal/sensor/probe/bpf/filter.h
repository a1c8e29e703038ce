/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens that no rule can match, dropped where they happen. What a rule needs of
 * an open's paths and of the process's name is a few clauses, all of which must
 * be met; needs have a bit each (internal/sensor/plan, Opens). What is known of
 * an open besides its path is a combination of facts, which says what needs there
 * are. The rules' patterns on paths are one automaton (plan/pathset): it gives,
 * for each clause, the needs of which a path meets it. An open is needed if all
 * clauses of one need are met, by the path as given, by that path made absolute,
 * by the path that it led to, or the first by the name of the process. Where
 * nothing can be said it is needed.
 */
#pragma once
#include "file.h"
#include "flags.h"
#include "memo.h"
#include "names.h"

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

/* What is needed of the program that the task runs, NULL if its name is not
 * known. The answer of the tables is remembered for the process, as long as it
 * runs this program and these filters are in force. */
INLINE struct needs *name_needs(struct scratch *s, struct task_struct *task, struct open_filter *f)
{
	struct task_struct *leader = READ(task, group_leader);
	u32 pid = READ(task, tgid);
	struct name_memo *m = &s->names[pid & (NAME_MEMOS - 1)];

	if (m->pid == pid && m->start == READ(leader, start_boottime) && m->exec_id == READ(task, self_exec_id) &&
	    m->epoch == f->epoch)
		return &m->needs;
	return name_look_up(s, f->epoch) ? &m->needs : NULL;
}

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

/* Adds what the path that is n bytes at an offset of the event meets; a need is
 * excluded if every path excludes it. A slash at the end is not in the name, but
 * in the text. */
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
	u32 rest = slash ? n - 1 : n;
	s->state = 0;
	s->path_excluded = 0;
	clauses_add(s, &f->seen[0]);
	path_read(s, at, rest);
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

static const struct met all_met = { ~0ull, ~0ull };

/* What open_paths_add found. */
INLINE struct met paths_met(struct scratch *s, struct open_filter *f)
{
	struct met met = { s->clauses[0] | f->rest[0], ~s->excluded };

	if (met.first & FILTER_UNCLEAN)
		return all_met;
#pragma unroll
	for (u32 i = 1; i < NEED_CLAUSES; i++)
		met.others &= s->clauses[i] | f->rest[i];
	return met;
}

/* A call of open, openat or openat2. */
struct open_call {
	u64 name;  /* address of the path */
	s32 dirfd; /* that a relative path starts from */
	u64 file;  /* 0: it failed */
	u32 facts;
};

/* False where nothing can be said of the call. */
INLINE bool open_call_get(struct scratch *s, struct task_struct *task, struct open_call *o)
{
	u64 flags, mode, file = 0;

	switch (s->entry.kind) {
	case KIND_OPEN:
		o->name = s->args[0];
		o->dirfd = AT_FDCWD;
		flags = s->args[1];
		mode = s->args[2];
		break;
	case KIND_OPENAT:
		o->name = s->args[1];
		o->dirfd = s->args[0];
		flags = s->args[2];
		mode = s->args[3];
		break;
	case KIND_OPENAT2:
		o->name = s->args[1];
		o->dirfd = s->args[0];
		if (bpf_probe_read_user(s->how, sizeof(s->how), (void *)s->args[2]))
			return false;
		s->how_read = 1;
		flags = s->how[0];
		mode = s->how[1];
		break;
	default:
		return false;
	}
	u32 facts = open_flags(flags) & (FACT_READ | FACT_WRITE);
	if (facts & FACT_WRITE && flags & K_TMPFILE) /* the name is a directory's */
		return false;
	if (flags & K_CREAT) {
		facts |= FACT_CREATE;
		if (open_mode(flags, mode) & 06000)
			facts |= FACT_DIRECTORY;
	}
	if (flags & K_TRUNC)
		facts |= FACT_TRUNCATE;
	if (s->ret >= 0) {
		facts |= FACT_SUCCESS;
		file = fd_file(task, s->ret);
		if (!file)
			return false;
		struct inode *inode = READ(AS(struct file, file), f_inode);
		if ((READ(inode, i_mode) & S_IFMT) == S_IFDIR) {
			if (flags & K_CREAT) /* and O_PATH, which does not create */
				return false;
			facts |= FACT_DIRECTORY;
		}
	}
	o->file = file;
	o->facts = facts;
	return true;
}

/* What the paths of a call meet, for needs there are. Nothing of the event has
 * been put together yet; its place serves as a notepad. */
INLINE struct met open_met(struct scratch *s, [[maybe_unused]] struct task_struct *task, struct open_filter *f,
			   struct open_call *o, u64 needs)
{
#ifdef LEGACY
	u64 *path = s->given; /* the functions need the stack, of which these kernels count more */
#else
	/* By way of the stack: the kernel checks where it copies to
	 * (CONFIG_HARDENED_USERCOPY), and knows that at once. */
	u64 path[(FILTER_PATH + 1) / 8];
#endif
	u64 base = 0;

	for (u32 i = 0; i < MEMO_PATH / 8; i++)
		path[i] = 0;
	long n = bpf_probe_read_user_str(path, FILTER_PATH + 1, (void *)o->name);
	if (n <= 1 || (LONG_PATH == FILTER_PATH && n > FILTER_PATH))
		return all_met;
	if ((path[0] & 0xff) != '/') {
#ifndef NO_GLOBAL_FUNCTIONS /* verified at each call, two walks and three paths are too much */
		base = base_path(task, o->dirfd);
#endif
		if (!base)
			return all_met;
	}
#if LONG_PATH > FILTER_PATH
	if (unlikely(n > FILTER_PATH)) { /* read again for the event */
		s->len = HEADER_SIZE;
		n = bpf_probe_read_user_str(tail(s), LONG_PATH + 1, (void *)o->name);
		if (n <= 1 || n > LONG_PATH || *tail(s) != (char)path[0])
			return all_met;
		paths_begin(s);
		open_paths_add(s, o->file, base, n - 1);
		return paths_met(s, f);
	}
#endif
	u64 id = o->file && n <= MEMO_PATH ? open_id(o->file, base, f->epoch) : 0;
	struct open_memo *m = &s->opens[id & (OPEN_MEMOS - 1)];
	bool known = id && m->id == id && memo_has(m, path);
	if (known && !((m->met.first | f->named) & m->met.others & needs))
		return m->met; /* left out: nobody asks for the path */

	s->given_len = n;
	s->len = HEADER_SIZE;
	u64 *to = (u64 *)tail(s);
	for (u32 i = 0; i < (FILTER_PATH + 1) / 8; i++) {
		if ((s64)(8 * i) >= n)
			break;
		to[i] = path[i];
		s->given[i] = path[i];
	}
	if (known)
		return m->met;
	paths_begin(s);
	/* Read back, so that the verifier does not follow each length. */
	open_paths_add(s, o->file, base, *(volatile u32 *)&s->given_len - 1);
	struct met met = paths_met(s, f);
	if (id)
		memo_put(m, id, path, met);
	return met;
}

/* Does one of the needs remain, by the first clauses that are met or by the name
 * of the process? */
INLINE bool needs_remain(struct scratch *s, struct task_struct *task, struct open_filter *f, u64 needs, u64 first)
{
	if (needs & first)
		return true;
	if (!(needs & f->named))
		return false;
	struct needs *named = name_needs(s, task, f);
	return !named || named->opens & needs;
}

/* Can any rule match this call? */
#ifdef PLAIN_TAIL_CALLS
static NOINLINE /* else the verifier looks at the rest of the family for each way through this */
#else
INLINE
#endif
bool open_needed(struct scratch *s, struct task_struct *task)
{
	struct open_filter *f = open_filter_get();
	struct open_call o;

	if (!f || !open_call_get(s, task, &o) || f->always & (1ull << (o.facts & 63)))
		return true;
	u64 needs = f->facts[BOUND(o.facts, 63)];
	if (!needs)
		return false;
	struct met met = open_met(s, task, f, &o, needs);
	return needs_remain(s, task, f, needs & met.others, met.first);
}

/* True for a call that is left out, and counted. */
INLINE bool open_left_out(struct scratch *s, struct counters *c, struct task_struct *task)
{
	s->given_len = s->how_read = 0;
	if (!interest.open_filter || open_needed(s, task))
		return false;
	leave_out(s, c);
	return true;
}
