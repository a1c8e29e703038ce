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
#include "childfilter.h"
#include "flags.h"
#include "names.h"

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
	o->dir = base && o->file ? dir_of_child(s, path, n - 1, o, base) : 0;
	u64 id = !o->dir && o->file && n <= MEMO_PATH ? open_id(o->file, base, f->epoch) : 0;
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
	/* Read back, so that the verifier does not follow each length. */
	u32 len = *(volatile u32 *)&s->given_len - 1;
	if (o->dir && child_paths_add(s, len))
		return paths_met(s, f);
	paths_begin(s);
	open_paths_add(s, o->file, base, len);
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
	struct open_call *o = &s->open;

	if (!f || !open_call_get(s, task, o) || f->always & (1ull << (o->facts & 63)))
		return true;
	u64 needs = f->facts[BOUND(o->facts, 63)];
	if (!needs)
		return false;
	struct met met = open_met(s, task, f, o, needs);
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
