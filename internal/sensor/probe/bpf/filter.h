/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens that no rule can match, dropped where they happen. The rules' patterns
 * on paths are one automaton (internal/sensor/plan/pathset); what is known of
 * an open besides its path is a combination of facts, and every combination
 * has a bit in the masks that the automaton gives (internal/sensor/plan,
 * Opens). An open is needed if its bit is set for the path as given, for the
 * path that it led to, for any path, or for the name of the process. Where
 * nothing can be said it is needed.
 */
#pragma once
#include "scratch.h"

#define FILTER_STATES 4096
#define FILTER_CLASSES 64
#define FILTER_PATH 255 /* longer paths are not looked at */

struct open_filter {
	u64 always;
	u64 named; /* combinations that some name asks for */
	u8 classes[256];
	u16 next[FILTER_STATES * FILTER_CLASSES];
	u64 seen[FILTER_STATES];
	u64 end[FILTER_STATES];
};

/* Two: one in use, one to be written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct open_filter);
} open_filters SEC(".maps");

/* The name that a process got at its exec, which is its name for the rules: a
 * process may call itself something else later. */
struct name {
	char text[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, u32);
	__type(value, struct name);
} process_names SEC(".maps");

/* What is needed of the opens of processes of a name. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct name);
	__type(value, u64);
} open_names SEC(".maps");

INLINE void name_exec(struct task_struct *task)
{
	struct name name = {};
	u32 pid = READ(task, tgid);

	bpf_probe_read_kernel_str(name.text, sizeof(name.text), &task->comm);
	bpf_map_update_elem(&process_names, &pid, &name, 0);
}

INLINE void name_fork(u32 parent, u32 child)
{
	struct name *name = bpf_map_lookup_elem(&process_names, &parent);
	if (name)
		bpf_map_update_elem(&process_names, &child, name, 0);
	else
		bpf_map_delete_elem(&process_names, &child);
}

INLINE void name_exit(u32 pid)
{
	bpf_map_delete_elem(&process_names, &pid);
}

INLINE bool name_needs(u32 pid, u64 bit)
{
	struct name *known = bpf_map_lookup_elem(&process_names, &pid);
	if (!known)
		return true;
	struct name name = *known;
	u64 *mask = bpf_map_lookup_elem(&open_names, &name);
	return mask && *mask & bit;
}

INLINE struct open_filter *open_filter_get(void)
{
	u32 i = interest.open_filter - 1;
	return bpf_map_lookup_elem(&open_filters, &i);
}

/* The mask of the path that is n bytes at an offset of the event: to s->mask. */
FUNC int open_path_mask(struct scratch *s, u32 at, u32 n)
{
	struct open_filter *f = open_filter_get();

	if (!s)
		return 0;
	s->mask = ~0ull;
	/* A relative path says nothing about the file's name. */
	if (!f || !n || n > FILTER_PATH || s->buf[at & BODY_MASK] != '/')
		return 0;
	u64 mask = f->seen[0];
	u32 state = 0;
	for (u32 i = 0; i < FILTER_PATH; i++) {
		if (i >= n)
			break;
		u32 class = f->classes[(u8)s->buf[(at + i) & BODY_MASK]] & (FILTER_CLASSES - 1);
		state = f->next[(state * FILTER_CLASSES + class) & (FILTER_STATES * FILTER_CLASSES - 1)] & (FILTER_STATES - 1);
		mask |= f->seen[state];
	}
	s->mask = mask | f->end[state];
	return 0;
}

/* Bits of a combination of facts; plan.Facts. The lowest two are Falco's
 * O_RDONLY and O_WRONLY. */
#define FACT_WRITE 2
#define FACT_SUCCESS 4
#define FACT_DIRECTORY 8
#define FACT_CREATE 16
#define FACT_TRUNCATE 32

/* Are the n bytes at two offsets of the event the same? */
INLINE bool same_bytes(struct scratch *s, u32 a, u32 b, u32 n)
{
	for (u32 i = 0; i < (FILTER_PATH + 8) / 8; i++) {
		u32 done = 8 * i;
		if (done >= n)
			return true;
		u64 diff = *(u64 *)&s->buf[(a + done) & BODY_MASK] ^ *(u64 *)&s->buf[(b + done) & BODY_MASK];
		if (n - done < 8)
			diff <<= 64 - 8 * (n - done); /* little-endian: the low bytes count */
		if (diff)
			return false;
	}
	return false;
}

/* The path that an open led to is left out where it is the one given. The file
 * is the last part of the event. */
FUNC int drop_same_path(struct scratch *s, u32 name_slot, u32 file_slot)
{
	if (!s)
		return 0;
	u64 name = s->slots[name_slot & 63], file = s->slots[file_slot & 63];
	u32 n = name >> 32, at = file;
	if (!file || !n || n > FILTER_PATH || file >> 32 != n + FILE_INFO_SIZE ||
	    !same_bytes(s, name, at + FILE_INFO_SIZE, n))
		return 0;
	s->slots[file_slot & 63] = (u64)FILE_INFO_SIZE << 32 | at;
	s->len = at + FILE_INFO_SIZE;
	return 0;
}

/* Can any rule match the open that was put together? The slots are its
 * name's, flags' and file's. */
FUNC int open_needed(struct scratch *s, u32 name_slot, u32 flags_slot, u32 file_slot)
{
	struct open_filter *f = open_filter_get();

	if (!s || !f)
		return 1;
	u64 flags = s->slots[flags_slot & 63], name = s->slots[name_slot & 63], file = s->slots[file_slot & 63];
	u32 facts = flags & 3;
	if (!name || (facts & FACT_WRITE && flags & (1 << 13) /* O_TMPFILE: the name is a directory's */))
		return 1;
	if (s->ret >= 0) {
		facts |= FACT_SUCCESS;
		if (!file)
			return 1;
		if (((struct file_info *)&s->buf[file & BODY_MASK])->type == FD_DIRECTORY)
			facts |= FACT_DIRECTORY;
	}
	if (flags & 1 << 2 /* O_CREAT */)
		facts |= FACT_CREATE;
	if (flags & 1 << 8 /* O_TRUNC */)
		facts |= FACT_TRUNCATE;
	u64 bit = 1ull << facts;
	if (f->always & bit)
		return 1;
	open_path_mask(s, name, name >> 32);
	if (s->mask & bit)
		return 1;
	u32 n = file >> 32;
	if (n > FILE_INFO_SIZE) {
		open_path_mask(s, (u32)file + FILE_INFO_SIZE, n - FILE_INFO_SIZE);
		if (s->mask & bit)
			return 1;
	}
	return f->named & bit && name_needs(READ(current_task(), tgid), bit);
}

/* The open was not needed: it is counted, and forgotten. */
INLINE int filtered(struct scratch *s)
{
	struct counters *c = counters_get();

	s->busy = 0;
	if (c)
		c->filtered++;
	return 0;
}
