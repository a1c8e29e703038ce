/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The absolute path of a dentry: up the tree, across mounts, to the root of
 * the mount namespace, as d_absolute_path of fs/d_path.c does; that helper is
 * not for programs on tracepoints.
 */
#pragma once
#include "step.h"

#ifdef LEGACY
#define PATH_COMPONENTS 48 /* a loop that the verifier walks through, in the oldest object at every call */
#else
#define PATH_COMPONENTS 2050 /* all that fit into 4096 bytes */
#endif

/* Stands for the directories of which there is no room. */
#define CUT "/..."
#define CUT_LEN 4

/* The path of what is nowhere, at the tail: the name of an object that was
 * never mounted ("memfd:x"), else "/". Its length. */
INLINE int put_nameless(struct scratch *s, u64 loose)
{
	if (loose) {
		struct dentry *d = AS(struct dentry, loose);
		long n = bpf_probe_read_kernel_str(tail(s), 256, READ(d, d_name.name));
		if (n > 1)
			return (n - 1) & 255;
	}
	*tail(s) = '/';
	return 1;
}

/* The struct path of a file. */
INLINE u64 file_path(u64 file)
{
	return file + FIELD_OFFSET(struct file, f_path);
}

/* Where a long walk is; the stack has no room for the rest, in s->chain. Behind
 * the root of a detached mount it goes on inside the filesystem: mount is 0. */
struct walk {
	struct scratch *s;
	u64 dentry;
	u64 mount;
};

/* One step up; false at the end. *name: a name was left behind. */
INLINE bool walk_on(struct walk *w, struct chain *c, bool *name)
{
	u64 at = w->dentry, on = w->mount;

	if (!on) {
		w->dentry = LOAD64(at + FIELD_OFFSET(struct dentry, d_parent));
		*name = true;
		return w->dentry != at;
	}
	switch (step_up(&w->dentry, &w->mount)) {
	case STEP_TOP:
		if (is_namespace_root(on))
			return false;
		c->loose = w->s->path_pos;
		/* 0, but not for the verifier: it would follow the rest of the
		 * way twice. */
		asm volatile("%0 ^= %1" : "+r"(w->mount) : "r"(on));
		return true;
	case STEP_LOOSE:
		c->nameless = 1;
		return false;
	case STEP_MOUNT:
		return true;
	case STEP_NAME:
		break;
	}
	*name = true;
	return true;
}

/* One step up; the path grows from the end of s->path towards its start, and
 * the places where views start are counted from there. Not 0: there is nothing
 * above. */
static int walk_step([[maybe_unused]] u32 i, struct walk *w)
{
	struct dentry *dentry = AS(struct dentry, w->dentry);
	struct chain *c = &w->s->chain;
	bool name = false;

	if (w->dentry == c->root && w->mount == c->root_mount)
		c->own = w->s->path_pos;
	if (!walk_on(w, c, &name)) {
		c->done = 1;
		return 1;
	}
	if (!name)
		return 0;
	u32 len = READ(dentry, d_name.len) & 255;
	if (w->s->path_pos < len + 1 + CUT_LEN)
		return 1;
	u32 pos = (w->s->path_pos - len - 1) & PATH_MASK;
	char *at = &w->s->path[pos];
	*at = '/';
	bpf_probe_read_kernel(at + 1, BOUND(len, 255), READ(dentry, d_name.name));
	w->s->path_pos = pos;
	return 0;
}

INLINE void walk_up(struct walk *w)
{
	w->s->chain.done = 0;
#ifdef LEGACY
	for (int i = 0; i < PATH_COMPONENTS; i++)
		if (walk_step(i, w))
			break;
#else
	bpf_loop(PATH_COMPONENTS, walk_step, w, 0);
#endif
}

/* As path_append, for any depth. */
FUNC int path_append_deep(struct scratch *s, u64 dentry, u64 vfsmount)
{
	struct walk w = {
		.s = s,
		.dentry = dentry,
		.mount = vfsmount - FIELD_OFFSET(struct mount, mnt),
	};

	if (!s)
		return 0;
	struct chain *c = &s->chain;
	own_root(c);
	c->loose = c->nameless = 0;
	s->path_pos = PATH_MASK;
	walk_up(&w);
#ifndef NO_GLOBAL_FUNCTIONS /* verified at each call, two walks are too much */
	if (!w.mount) {
		find_mount(s, w.dentry);
		w.mount = c->mount;
		if (w.mount)
			walk_up(&w);
	}
#endif
	if (!c->done) {
		s->h.flags |= EVENT_TRUNCATED;
		s->path_pos = (s->path_pos - CUT_LEN) & PATH_MASK;
		memcpy(&s->path[s->path_pos & PATH_MASK], CUT, CUT_LEN);
	}
	u32 pos = s->path_pos & PATH_MASK;
	u32 len = PATH_MASK - pos;
	s->views.own = c->own ? c->own - pos : 0;
	s->views.mount = c->loose ? c->loose - pos : 0;
	if (!len)
		return put_nameless(s, c->nameless ? dentry : 0);
	bpf_probe_read_kernel(tail(s), BOUND(len, PATH_MASK), &s->path[pos]);
	return len;
}

#ifdef LEGACY

INLINE bool file_is_at(struct scratch *, u64, u32, u32)
{
	return false; /* calls for every field would take longer than the path */
}

INLINE int path_append(struct scratch *s, u64 dentry, u64 vfsmount)
{
	return path_append_deep(s, dentry, vfsmount);
}

#else

/* "/name" at the end of what is at the tail so far; its length. Short names
 * are copied by words, a few bytes too many: the next name covers them. */
INLINE void name_append(struct scratch *s, u64 dentry)
{
	struct dentry *d = AS(struct dentry, dentry);
	u64 name = LOAD64(dentry + FIELD_OFFSET(struct dentry, d_name.name));
	u32 len = READ(d, d_name.len) & 255;
	char *to = tail(s);

	*to = '/';
	if (len > 32) {
		bpf_probe_read_kernel(to + 1, BOUND(len, 255), (void *)name);
	} else {
		*(u64 *)(to + 1) = LOAD64(name);
		if (len > 8) {
			*(u64 *)(to + 9) = LOAD64(name + 8);
			*(u64 *)(to + 17) = LOAD64(name + 16);
			*(u64 *)(to + 25) = LOAD64(name + 24);
		}
	}
	s->len += len + 1;
}

#define CHAIN 16 /* deeper paths take the long way */

#define STRIDE 4 /* steps at once: the verifier goes through one stride only */

/* A stride up from c->at, whose dentries are gathered: the last step. */
FUNC int stride_up(struct scratch *s)
{
	if (!s)
		return STEP_LOOSE;
	struct chain *c = &s->chain;

	for (int i = 0; i < STRIDE; i++) {
		u64 at = c->at;
		if (at == c->root && c->mount == c->root_mount)
			c->own = c->n + 1;
		enum step step = step_up(&c->at, &c->mount);
		if (step == STEP_MOUNT)
			continue;
		if (step != STEP_NAME)
			return step;
		c->dentries[c->n & (CHAIN - 1)] = at;
		c->n++;
	}
	return STEP_NAME;
}

/* A stride down: appends the names of dentries that were gathered to the path
 * that starts at an offset of the event. 0 at the end. */
FUNC int stride_down(struct scratch *s, u32 start)
{
	if (!s)
		return 0;
	struct chain *c = &s->chain;

	for (int i = 0; i < STRIDE; i++) {
		if (c->n + 1 == c->own)
			s->views.own = s->len - start;
		if (!c->n)
			return 0;
		c->n--;
		name_append(s, c->dentries[c->n & (CHAIN - 1)]);
	}
	return 1;
}

/* As path_append, for most paths, which are short: their dentries are gathered
 * on the way up, and written on the way down. 0 for the others. Counters and
 * addresses are numbers in memory, of which the verifier knows nothing, so that
 * all its ways through the loops are one. */
FUNC int path_append_short(struct scratch *s, u64 dentry, u64 vfsmount)
{
	if (!s)
		return 0;
	struct chain *c = &s->chain;
	u32 start = s->len;
	int step = STEP_NAME;

	own_root(c);
	s->views.own = s->views.mount = 0;
	c->n = 0;
	c->at = dentry;
	c->mount = vfsmount - FIELD_OFFSET(struct mount, mnt);
	for (int i = 0; i < CHAIN / STRIDE && step == STEP_NAME; i++)
		step = stride_up(s);
	if (step != STEP_TOP || !is_namespace_root(c->mount))
		return 0;
	for (int i = 0; i < CHAIN / STRIDE; i++)
		if (!stride_down(s, start))
			break;
	u32 len = s->len - start;
	s->len = start;
	if (!len) {
		*tail(s) = '/';
		return 1;
	}
	return len;
}

/* Append the path of dentry at the tail; its length. The slot is the caller's
 * to set, and s->len to advance. The short way does not call the long one: the
 * kernel adds up the stacks of functions that call one another, to 512 bytes. */
INLINE int path_append(struct scratch *s, u64 dentry, u64 vfsmount)
{
	u32 len = path_append_short(s, dentry, vfsmount);

	return len ? len : path_append_deep(s, dentry, vfsmount);
}

#define COMPARED 64 /* bytes of a name: as long as the ids of containers */

/* Is the name of a dentry the len bytes at an offset of the event? Longer ones are
 * not looked at. */
INLINE bool name_is_at(struct scratch *s, u64 dentry, u32 at, u32 len)
{
	u64 name = LOAD64(dentry + FIELD_OFFSET(struct dentry, d_name.name));

	if (len > COMPARED)
		return false;
	for (u32 done = 0; done < COMPARED; done += 8) {
		if (done >= len)
			break;
		u64 diff = LOAD64(name + done) ^ *(u64 *)&s->buf[(at + done) & BODY_MASK];
		if (len - done < 8)
			diff <<= 64 - 8 * (len - done); /* little-endian: the low bytes count */
		if (diff)
			return false;
	}
	return true;
}

/* A stride up from c->at, as long as the names are those that end c->n bytes
 * after an offset of the event: the last step, STEP_LOOSE if one is not. */
FUNC int stride_compare(struct scratch *s, u32 at)
{
	if (!s)
		return STEP_LOOSE;
	struct chain *c = &s->chain;

	for (int i = 0; i < STRIDE; i++) {
		u64 dentry = c->at;
		enum step step = step_up(&c->at, &c->mount);
		if (step == STEP_MOUNT)
			continue;
		if (step != STEP_NAME)
			return step;
		u32 len = READ(AS(struct dentry, dentry), d_name.len);
		if (len >= c->n)
			return STEP_LOOSE;
		c->n -= len;
		if (!name_is_at(s, dentry, at + c->n, len))
			return STEP_LOOSE;
		c->n--;
		if (s->buf[(at + c->n) & BODY_MASK] != '/')
			return STEP_LOOSE;
	}
	return STEP_NAME;
}

/* Is the path of a file the n bytes at an offset of the event? Compared from the
 * end, on the way up. False where it is not certain. */
FUNC int file_is_at(struct scratch *s, u64 file, u32 at, u32 n)
{
	if (!s || !file)
		return 0;
	struct chain *c = &s->chain;
	u64 path = file_path(file);
	int step = STEP_NAME;

	c->n = n;
	c->at = LOAD64(path + FIELD_OFFSET(struct path, dentry));
	c->mount = LOAD64(path + FIELD_OFFSET(struct path, mnt)) - FIELD_OFFSET(struct mount, mnt);
	for (int i = 0; i < CHAIN / STRIDE && step == STEP_NAME; i++)
		step = stride_compare(s, at);
	return step == STEP_TOP && !c->n && is_namespace_root(c->mount);
}

#endif

/* One more view of the path of len bytes at the tail, of which it is what
 * follows the first from bytes: behind what is there, after a NUL. */
FUNC int view_append(struct scratch *s, u32 end, u32 len, u32 from)
{
	if (!s)
		return 0;
	char *to = &s->buf[(s->len + end) & BODY_MASK];

	if (!from || from > len)
		return end;
	*to = 0;
	if (from == len) { /* the directory that the view starts from */
		to[1] = '/';
		return end + 2;
	}
	bpf_probe_read_kernel(to + 1, BOUND(len - from, PATH_MASK), &s->buf[(s->len + from) & BODY_MASK]);
	return end + 1 + len - from;
}

/* The other views of the path of len bytes at the tail, behind it: FileInfo and
 * View.Bases of internal/sensor/event. The length of all. */
INLINE u32 views_append(struct scratch *s, u32 len)
{
	u32 end = len;

	if (likely(!(s->views.own | s->views.mount)))
		return len;
	end = view_append(s, end, len, s->views.own);
	return view_append(s, end, len, s->views.mount);
}

/* As path_append, of a struct path. */
INLINE int path_append_at(struct scratch *s, u64 path)
{
	return path_append(s, LOAD64(path + FIELD_OFFSET(struct path, dentry)), LOAD64(path + FIELD_OFFSET(struct path, mnt)));
}

/* A struct path as the value of a slot. */
FUNC int put_path(struct scratch *s, u32 slot, u64 path)
{
	if (!s || !path || tail_full(s))
		return 0;
	u32 len = path_append_at(s, path);
	tail_commit(s, slot, len);
	return 0;
}

/* The same with its other views. */
FUNC int put_path_views(struct scratch *s, u32 slot, u64 path)
{
	if (!s || !path || tail_full(s))
		return 0;
	u32 len = path_append_at(s, path);
	len = views_append(s, len);
	tail_commit(s, slot, len);
	return 0;
}

INLINE void put_file_path(struct scratch *s, u32 slot, u64 file)
{
	if (file)
		put_path(s, slot, file_path(file));
}

/* A directory that a task's fs_struct names. */
INLINE void put_fs_path(struct scratch *s, u32 slot, u64 fs, u32 offset)
{
	if (fs)
		put_path(s, slot, fs + offset);
}

INLINE void put_cwd(struct scratch *s, u32 slot)
{
	struct task_struct *task = current_task();

	put_fs_path(s, slot, LOAD64(&task->fs), FIELD_OFFSET(struct fs_struct, pwd));
}

INLINE void put_root(struct scratch *s, u32 slot)
{
	struct task_struct *task = current_task();

	put_fs_path(s, slot, LOAD64(&task->fs), FIELD_OFFSET(struct fs_struct, root));
}
