/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes of which user space has not been told. A process that does nothing
 * that any rule can match is of no interest, nor is its end, if it has no
 * children. So the record of its fork is held here, then that of its exec in its
 * place, if no rule can match that (execfilter.h). The record is sent before
 *
 *   - the next event of the process that is sent, such as its own next fork;
 *   - while it is that of a fork: the next event of its parent that is sent, as
 *     the child inherits the parent's state in user space, too.
 *
 * It has EVENT_LATE, and the time of the event that it precedes: rings are merged
 * by time. At the exit of the process it is thrown away.
 *
 * Only kernels with a loop of their own have this: there the record of an exec
 * can be judged.
 */
#pragma once
#include "ring.h"

#ifndef LEGACY

#define UNTOLD_PROCESSES 256
#define UNTOLD_LEN 8192

/* What is held. */
enum { HELD_FORK = 1, HELD_EXEC, HELD_BUSY /* it is being written or sent */ };

/* Processes share slots by their pid. One that takes a slot has the one told that
 * was there, which may be there for long. */
struct untold {
	u64 holder; /* HOLDER of the process whose record this is; 0: none */
	u64 forked; /* HOLDER(child, parent): of the parent whose pid has this slot, its last child */
	u32 len;
	char record[UNTOLD_LEN] __attribute__((aligned(8)));
};

/* Changes with the rules, and with what user space alone knows: accounts, and
 * containers' metadata. 0: user space does not know all processes yet. */
extern volatile u64 exec_epoch SEC(".data.execs");

#define HOLDER(pid, what) ((u64)(what) << 32 | (u32)(pid))

extern struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UNTOLD_PROCESSES);
	__type(key, u32);
	__type(value, struct untold);
} untold SEC(".maps");

INLINE struct untold *untold_of(u32 pid)
{
	u32 i = pid & (UNTOLD_PROCESSES - 1);
	return bpf_map_lookup_elem(&untold, &i);
}

/* Changes a word that others may change at the same time; both are full
 * barriers. */
INLINE bool word_swap(u64 *word, u64 from, u64 to)
{
	return __sync_val_compare_and_swap(word, from, to) == from;
}

INLINE void word_set(u64 *word, u64 to)
{
	__sync_lock_test_and_set(word, to);
}

/* What of a process is held; 0: nothing, or its record is being sent. */
INLINE u32 held(u64 holder, u32 pid)
{
	u32 what = holder >> 32;
	return (u32)holder == pid && what != HELD_BUSY ? what : 0;
}

#define SPINS 4096 /* some 10 us; to send takes one or two */

struct spin {
	struct untold *u;
	u64 busy;
};

static int spin_step([[maybe_unused]] u32 i, struct spin *w)
{
	return *(volatile u64 *)&w->u->holder != w->busy;
}

/* The holder of a slot. If another CPU writes or sends the record of the process
 * at this moment, it is waited for: what comes behind the record must not be
 * sent before it. Programs are not preempted, so that this takes no longer than
 * an interrupt there. */
FUNC u64 settled(u32 pid)
{
	struct spin w = { .u = untold_of(pid), .busy = HOLDER(pid, HELD_BUSY) };

	if (!w.u)
		return 0;
	if (unlikely(*(volatile u64 *)&w.u->holder == w.busy))
		bpf_loop(SPINS, spin_step, &w, 0);
	return *(volatile u64 *)&w.u->holder;
}

/* Sends the record of a process, if what is held is this. It was counted as left
 * out, perhaps on another CPU, and counts once more. */
FUNC int tell_held(struct scratch *s, u32 pid, u32 what)
{
	struct untold *u = untold_of(pid);
	struct counters *c = counters_get();

	if (!s || !u || !c || !what || !word_swap(&u->holder, HOLDER(pid, what), HOLDER(pid, HELD_BUSY)))
		return 0;
	u32 fate = DELIVERED;
	*(u64 *)u->record = s->h.time;
	if (ring_output(s->cpu, u->record, BOUND(u->len, UNTOLD_LEN - 1))) {
		c->drops[DROP_BUFFER][what == HELD_FORK ? LOST_CLONE_FORK : LOST_EXECVE]++;
		s->lost++;
		fate = DROPPED;
	}
	c->seen++;
	tally_of(c, FAMILY_NONE, fate)->events++;
	word_set(&u->holder, 0);
	return 0;
}

/* Tells what must be known before an event of the process. */
INLINE void tell_before(struct scratch *s, u32 pid)
{
	struct untold *u = untold_of(pid);

	if (!u)
		return;
	u64 forked = *(volatile u64 *)&u->forked;
	if (unlikely((u32) * (volatile u64 *)&u->holder == pid))
		tell_held(s, pid, held(settled(pid), pid));
	if (unlikely(forked >> 32 == pid)) {
		u32 child = forked;
		if (held(settled(child), child) == HELD_FORK)
			tell_held(s, child, HELD_FORK);
		word_swap(&u->forked, forked, 0);
	}
}

/* The event in progress becomes the record of u, which the caller has made busy;
 * false if it is too long. */
INLINE bool hold(struct scratch *s, struct untold *u, u32 pid, u32 what)
{
	u32 len = (s->len + 7) & ~7;

	if (len >= UNTOLD_LEN)
		return false;
	s->h.len = len;
	s->h.lost = 0;
	s->h.flags |= EVENT_LATE;
	u->len = len;
	bpf_probe_read_kernel(u->record, BOUND(len, UNTOLD_LEN - 1), s->buf);
	word_set(&u->holder, HOLDER(pid, what));
	return true;
}

/* Notes a child, whose fork is held, beside its parent; false if there is no
 * room: the slot is that of another parent, whose child has not made its exec. */
INLINE bool note_child(u32 parent, u32 child)
{
	struct untold *u = untold_of(parent);

	if (!u)
		return false;
	u64 other = *(volatile u64 *)&u->forked;
	struct untold *v = other ? untold_of(other) : NULL;
	if (v && *(volatile u64 *)&v->holder == HOLDER(other, HELD_FORK))
		return false;
	return word_swap(&u->forked, other, HOLDER(child, parent));
}

/* Holds the record of a fork by the current process, which is told itself; false
 * if it is to be sent now. */
INLINE bool hold_fork(struct scratch *s, u32 child)
{
	u32 parent = s->h.pid;
	struct untold *u = untold_of(child);

	if (!u || !interest.execs || !exec_epoch)
		return false;
	tell_before(s, parent);
	u64 holder = *(volatile u64 *)&u->holder;
	u32 other = holder, what = held(holder, other);
	if (other == child && what) /* an earlier process of that pid, whose end was lost */
		word_swap(&u->holder, holder, 0);
	else
		tell_held(s, other, what);
	if (!word_swap(&u->holder, 0, HOLDER(child, HELD_BUSY)))
		return false;
	if (!hold(s, u, child, HELD_FORK)) {
		word_set(&u->holder, 0);
		return false;
	}
	if (!note_child(parent, child))
		tell_held(s, child, HELD_FORK);
	return true;
}

/* The process has come to its end: true if user space has not been told of it,
 * and need not be. */
INLINE bool untold_ends(u32 pid)
{
	struct untold *u = untold_of(pid);
	u64 holder = u ? *(volatile u64 *)&u->holder : 0;

	return u && held(holder, pid) && interest.execs && word_swap(&u->holder, holder, 0);
}

#else

INLINE void tell_before(struct scratch *, u32)
{
}

INLINE bool hold_fork(struct scratch *, u32)
{
	return false;
}

INLINE bool untold_ends(u32)
{
	return false;
}

#endif
