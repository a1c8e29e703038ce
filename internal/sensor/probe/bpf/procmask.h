/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules that can still match calls of a busy process, as far as facts of its
 * own tell: its image, which changes with an exec, and the user, group and login
 * of the thread that calls. User space works them out (internal/sensor/plan,
 * Own) and writes them here with those facts that can change. They count only if
 * these facts are, by value, those of the present call; so nothing has to be
 * undone when a process changes. No other thread changes the credentials of the
 * one that calls (credentials(7)), nor its image while it is in a call.
 *
 * Processes share slots by their pid, and user space writes while programs read.
 * Each word has the number of the writing in its low half, which is never the
 * same twice: a mixture of two writings is known by it, in whatever order the
 * CPU reads.
 */
#pragma once
#include "record.h"

#define PROCESS_MASKS 4096

/* What the high halves of the words are. */
enum {
	MASK_PLAN, /* the rules that the bits stand for */
	MASK_PID,
	MASK_START_LOW,
	MASK_START_HIGH,
	MASK_EXEC_ID,
	MASK_UID,
	MASK_GID,
	MASK_LOGIN_UID,
	MASK_RULES, /* four words */
	MASK_WORDS = MASK_RULES + 4,
};

struct process_mask {
	volatile u64 words[MASK_WORDS];
};

extern struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PROCESS_MASKS);
	__type(key, u32);
	__type(value, struct process_mask);
} process_masks SEC(".maps");

/* Is it of this writing, and says this? */
INLINE bool mask_says(u64 word, u32 writing, u32 value)
{
	return word == ((u64)value << 32 | writing);
}

/* Is it about the image that the process runs, and the user who runs it? */
INLINE bool mask_is_of(struct process_mask *m, u32 writing, struct task_struct *task)
{
	struct task_struct *leader = READ(task, group_leader);
	struct cred *cred = READ(task, cred);
	u64 start = READ(leader, start_boottime);
	u32 login_uid = FIELD_EXISTS(struct task_struct, loginuid) ? READ(task, loginuid.val) : (u32)-1;

	return mask_says(m->words[MASK_START_LOW], writing, start) &&
	       mask_says(m->words[MASK_START_HIGH], writing, start >> 32) &&
	       mask_says(m->words[MASK_EXEC_ID], writing, READ(task, self_exec_id)) &&
	       mask_says(m->words[MASK_UID], writing, READ(cred, euid.val)) &&
	       mask_says(m->words[MASK_GID], writing, READ(cred, egid.val)) &&
	       mask_says(m->words[MASK_LOGIN_UID], writing, login_uid);
}

INLINE struct rule_bits all_rules(void)
{
	struct rule_bits all = { .lo = ~0ull, .hi = ~0ull };
	return all;
}

/* The rules of the plan that can match a call of the task; all if nothing is
 * known. */
INLINE struct rule_bits process_rules(struct task_struct *task, struct counters *c, u32 plan)
{
	u32 pid = READ(task, tgid), slot = pid & (PROCESS_MASKS - 1);
	struct process_mask *m = bpf_map_lookup_elem(&process_masks, &slot);

	if (!m)
		return all_rules();
	u64 first = m->words[MASK_PLAN];
	u32 writing = first;
	if (!writing || !mask_says(first, writing, plan) || !mask_says(m->words[MASK_PID], writing, pid))
		return all_rules();
	u64 a = m->words[MASK_RULES], b = m->words[MASK_RULES + 1];
	u64 d = m->words[MASK_RULES + 2], e = m->words[MASK_RULES + 3];
	if (!mask_is_of(m, writing, task) || (u32)a != writing || (u32)b != writing || (u32)d != writing || (u32)e != writing) {
		c->stale_masks++;
		return all_rules();
	}
	struct rule_bits rules = {
		.lo = a >> 32 | (b & ~0xffffffffull),
		.hi = d >> 32 | (e & ~0xffffffffull),
	};
	return rules;
}
