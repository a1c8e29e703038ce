/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that no rule can match, dropped before an event is made of them
 * (internal/sensor/plan, Kinds). What is known of a call of any kind is a
 * combination of facts; for every kind and combination there is the set of
 * rules that could match. A stage behind this one (socketfilter.h) knows more
 * of the call, and joins its own set with the one that this leaves in scratch.
 * Where nothing can be said, every rule counts as possible: a combination
 * without CALL_IS_HOST has all rules of the one with it.
 */
#pragma once
#include "cgroups.h"
#include "cwd.h"
#include "filter.h"
#include "procmask.h"

#define CALL_FACTS 8 /* combinations */

_Static_assert(2 * CALL_IS_HOST == CALL_FACTS, "facts");

/* The rules that could match: whatever the process's name, or if one of them
 * asks for its name. */
struct rule_needs {
	struct rule_bits always, named;
};

/* What of its arguments makes a call special: one of them, where mask is set,
 * has this value. */
struct special {
	u64 mask, value;
	u32 arg; /* 6 or more: no call is */
	u16 sockets; /* 0: none; else 1 + the kind's index in rule_masks.sockets */
	u16 addresses; /* 1: some rule asks for addresses; see addressfilter.h */
};

struct rule_masks {
	u64 plan; /* no two sets of rules have the same */
	struct rule_bits nameless; /* that can match where there are no addresses */
	struct special specials[SOCKET_KINDS];
	struct rule_needs kinds[SOCKET_KINDS][CALL_FACTS];
	struct rule_bits sockets[MASKED_SOCKETS][64]; /* by socket facts */
};

/* Two: one in use, one to be written. */
extern struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct rule_masks);
} rule_masks SEC(".maps");

/* The groups whose processes are in no container, as far as user space has
 * heard. */
extern struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct cgroup_set);
	__type(value, u64);
} host_groups SEC(".maps");

INLINE bool no_rules(struct rule_bits b)
{
	return !(b.lo | b.hi);
}

INLINE struct rule_masks *rule_masks_get(struct scratch *s)
{
	u32 i = s->masks - 1;
	return bpf_map_lookup_elem(&rule_masks, &i);
}

/* Is the process in no container? Only its main thread speaks for it, as in
 * user space (checkHeader of state). */
JUMP_FUNC int is_host(void)
{
	struct task_struct *leader = READ(current_task(), group_leader);
	struct scratch *s = scratch_get(); /* no argument, of which kernels such as 6.1 take no key */

	if (!s)
		return 0;
	cgroup_set_read(&s->cgroup_set, LOAD64(&leader->cgroups));
	return !!bpf_map_lookup_elem(&host_groups, &s->cgroup_set);
}

INLINE bool is_special(struct scratch *s, struct special *sp)
{
	return sp->arg < 6 && (s->args[BOUND(sp->arg, 7)] & sp->mask) == sp->value;
}

INLINE struct rule_bits rules_of(struct rule_needs *n, struct needs *name)
{
	struct rule_bits b = {
		.lo = n->always.lo | (n->named.lo & (name ? name->rules.lo : ~0ull)),
		.hi = n->always.hi | (n->named.hi & (name ? name->rules.hi : ~0ull)),
	};
	return b;
}

INLINE struct rule_bits rules_both(struct rule_bits a, struct rule_bits b)
{
	struct rule_bits both = { .lo = a.lo & b.lo, .hi = a.hi & b.hi };
	return both;
}

/* Can no rule match? The host's are among those of any process. */
INLINE bool none_can_match(struct rule_bits any, struct rule_bits host)
{
	return no_rules(any) || (no_rules(host) && is_host());
}

/* The same of rules that can match, but perhaps not this process. */
INLINE bool none_can_match_process(struct scratch *s, struct rule_bits any, struct rule_bits host)
{
	if (no_rules(rules_both(any, s->mask)))
		return true;
	return !no_rules(host) && no_rules(rules_both(host, s->mask)) && is_host();
}

/* The rules that can match the call, wherever its process is and if it is in no
 * container. */
INLINE void rules_of_call(struct scratch *s, struct task_struct *task, struct rule_masks *m)
{
	u32 kind = BOUND(s->entry.kind, SOCKET_KINDS - 1);
	u32 facts = s->ret >= 0 ? CALL_IS_SUCCESS : 0;

	if (is_special(s, &m->specials[kind]))
		facts |= CALL_IS_SPECIAL;
	struct rule_needs *any = &m->kinds[kind][facts], *host = &m->kinds[kind][facts | CALL_IS_HOST];
	struct needs *name = NULL;
	if (no_rules(host->always)) { /* else it may be of use wherever it is */
		struct open_filter *f = interest.open_filter ? open_filter_get() : NULL;
		if (f && !no_rules(any->named))
			name = name_needs(s, task, f);
	}
	s->rules = rules_of(any, name);
	s->host_rules = rules_of(host, name);
}

/* What becomes of a call by the rules that can match it, which are in s
 * afterwards: DELIVERED, as far as is known yet. */
INLINE u32 fate_by_rules(struct scratch *s, struct counters *c, struct task_struct *task)
{
	s->rules = s->host_rules = s->mask = all_rules();
	s->masks = interest.masks;
	if (!s->masks)
		return DELIVERED;
	struct rule_masks *m = rule_masks_get(s);
	if (!m)
		return DELIVERED;
	rules_of_call(s, task, m);
	if (none_can_match(s->rules, s->host_rules))
		return FILTERED;
	s->mask = process_rules(task, c, m->plan);
	return none_can_match_process(s, s->rules, s->host_rules) ? MASKED : DELIVERED;
}

/* True for a call that is left out, and counted, before its family has looked.
 * That learns from messages who is the client, and leaves them out itself. */
INLINE bool call_left_out(struct scratch *s, struct counters *c, struct task_struct *task)
{
	u32 fate = FILTERED;

	if (!drop_failed || s->ret >= 0) {
		fate = fate_by_rules(s, c, task);
		if (s->entry.family == FAMILY_MESSAGE)
			return false;
	}
	if (fate == DELIVERED || !dir_told_later(s, task))
		return false;
	leave_out_as(s, c, fate);
	return true;
}
