/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes of which user space has not been told. A process that does nothing
 * that any rule can match is of no interest, nor is its end, as long as the same
 * is true of its descendants. So the record of its fork is held here, then that of
 * its exec in its place, if no rule can match that (execfilter.h). The record is
 * sent before
 *
 *   - the next event of the process that is sent, or of any of its descendants;
 *     those of its ancestors go first, so that of a process that has been told
 *     all ancestors have been, too;
 *   - while it is that of a fork: the next event of its parent that is sent, and
 *     the parent's next exec, as the child inherits the parent's state in user
 *     space, too;
 *   - the exit of the process, if children outlive it.
 *
 * It has EVENT_LATE, and the time of the event that it precedes: rings are merged
 * by time. At an exit without children it is thrown away.
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

#define HELD_CHILDREN 4

/* Processes share slots by their pid. One that takes a slot has the one told that
 * was there, which may be there for long. */
struct untold {
	u64 holder; /* HOLDER of the process whose record this is; 0: none */
	u64 told;   /* the time of the last record that was told from here */
	/* HOLDER(child, parent): of parents whose pids have this slot, children whose
	 * forks may be held. */
	u64 forked[HELD_CHILDREN];
	/* Of the holder. */
	u32 parent;	    /* at its fork */
	u32 depth;	    /* at most so many of its ancestors are held */
	u32 is_parent;	    /* forks of its children have been held */
	u32 has_threads;    /* more than one, or had */
	u64 task;	    /* at its exec */
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

/* The event in progress comes behind what has been told from a slot, perhaps by
 * another CPU, and after this event began. */
INLINE void come_after(struct scratch *s, struct untold *u)
{
	u64 told = *(volatile u64 *)&u->told;
	if (unlikely(told >= s->h.time))
		s->h.time = told + 1;
}

/* The parent in the record of an exec is the present one: another one inherits the
 * process if its parent ends. */
INLINE void put_present_parent(struct untold *u)
{
	struct event_header *h = (struct event_header *)u->record;
	struct task_struct *task = AS(struct task_struct, u->task);

	if ((u32)READ(task, tgid) == h->pid && READ(task, start_boottime) == h->start) {
		struct task_struct *parent = READ(task, real_parent);
		h->ppid = READ(parent, tgid);
	}
}

/* Sends the record of a process, if what is held is this; false if it is not. It
 * was counted as left out, perhaps on another CPU, and counts once more. */
FUNC int tell_held(struct scratch *s, u32 pid, u32 what)
{
	struct untold *u = untold_of(pid);
	struct counters *c = counters_get();

	if (!s || !u || !c || !what || !word_swap(&u->holder, HOLDER(pid, what), HOLDER(pid, HELD_BUSY)))
		return 0;
	u32 fate = DELIVERED;
	come_after(s, u);
	if (what == HELD_EXEC)
		put_present_parent(u);
	*(u64 *)u->record = s->h.time;
	if (ring_output(s->cpu, u->record, BOUND(u->len, UNTOLD_LEN - 1))) {
		c->drops[DROP_BUFFER][what == HELD_FORK ? LOST_CLONE_FORK : LOST_EXECVE]++;
		s->lost++;
		fate = DROPPED;
	}
	c->seen++;
	tally_of(c, FAMILY_NONE, fate)->events++;
	u->told = s->h.time;
	word_set(&u->holder, 0);
	return 1;
}

/* Sends what is held of a process, or waits until another CPU has. */
FUNC int tell_one(struct scratch *s, u32 pid)
{
	struct untold *u = untold_of(pid);

	if (!s || !u)
		return 0;
	for (u32 i = 0; i < 3; i++) { /* a fork, which becomes an exec, which another CPU sends */
		u32 what = held(settled(pid), pid);
		if (!what)
			break;
		if (tell_held(s, pid, what))
			return 0;
	}
	come_after(s, u);
	return 0;
}

/* Sends what is held of a process, and first of its ancestors. */
FUNC int tell_line(struct scratch *s, u32 pid)
{
	if (!s)
		return 0;
	s->line_len = 0;
	for (u32 i = 0; i < HELD_LINE; i++) {
		struct untold *u = untold_of(pid);
		if (!u)
			break;
		s->line[i] = pid;
		s->line_len = i + 1;
		if (!held(settled(pid), pid))
			break;
		pid = *(volatile u32 *)&u->parent;
	}
	for (u32 i = HELD_LINE; i > 0; i--)
		if (i <= s->line_len)
			tell_one(s, s->line[i - 1]);
	return 0;
}

/* May the fork of a child that has been noted be held? */
INLINE bool child_is_held(u64 forked)
{
	u32 child = forked;
	struct untold *v = child ? untold_of(child) : NULL;
	u64 holder = v ? *(volatile u64 *)&v->holder : 0;

	return v && (u32)holder == child && holder >> 32 != HELD_EXEC;
}

/* Tells what must be known before an event of the process. */
INLINE void tell_before(struct scratch *s, u32 pid)
{
	struct untold *u = untold_of(pid);

	if (!u)
		return;
	if (unlikely((u32) * (volatile u64 *)&u->holder == pid))
		tell_line(s, pid);
	else
		come_after(s, u);
	for (u32 i = 0; i < HELD_CHILDREN; i++) {
		u64 forked = *(volatile u64 *)&u->forked[i];
		if (likely(forked >> 32 != pid))
			continue;
		u32 child = forked;
		if (held(settled(child), child) == HELD_FORK)
			tell_line(s, child);
		word_swap(&u->forked[i], forked, 0);
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

/* Notes a child, whose fork is held, beside its parent; false if another CPU was
 * faster. If there is no room, an older child is told, perhaps of another parent,
 * which has not made its exec. */
INLINE bool note_child(struct scratch *s, u32 parent, u32 child)
{
	struct untold *u = untold_of(parent);
	u32 at = child % HELD_CHILDREN;

	if (!u)
		return false;
	for (u32 i = 0; i < HELD_CHILDREN; i++)
		if (!child_is_held(*(volatile u64 *)&u->forked[i]))
			at = i;
	u64 other = *(volatile u64 *)&u->forked[at];
	if (child_is_held(other))
		tell_line(s, other);
	return word_swap(&u->forked[at], other, HOLDER(child, parent));
}

/* Has the process children whose forks are held? */
INLINE bool has_held_children(struct untold *u, u32 pid)
{
	for (u32 i = 0; i < HELD_CHILDREN; i++) {
		u64 forked = *(volatile u64 *)&u->forked[i];
		if (forked >> 32 == pid && child_is_held(forked))
			return true;
	}
	return false;
}

INLINE bool is_held(u32 pid)
{
	struct untold *u = untold_of(pid);
	return u && held(*(volatile u64 *)&u->holder, pid);
}

/* The current process, which may be held itself, has made a child whose fork is
 * held: in how deep a line. */
INLINE u32 hold_line(struct scratch *s, u32 parent)
{
	struct untold *u = untold_of(parent);

	if (!u || !held(*(volatile u64 *)&u->holder, parent))
		return 0;
	u32 depth = *(volatile u32 *)&u->depth + 1;
	if (depth > HELD_LINE - 2) { /* and the first that is not held */
		tell_line(s, parent);
		return 0;
	}
	u->is_parent = 1;
	return depth;
}

/* Holds the record of a fork by the current process; false if it is to be sent
 * now. */
INLINE bool hold_fork(struct scratch *s, u32 child)
{
	u32 parent = s->h.pid;
	struct untold *u = untold_of(child);

	if (!u || !interest.execs || !exec_epoch)
		return false;
	u32 depth = hold_line(s, parent);
	u64 holder = *(volatile u64 *)&u->holder;
	u32 other = holder;
	if (other == child && held(holder, other)) /* an earlier process of that pid, whose end was lost */
		word_swap(&u->holder, holder, 0);
	else if (held(holder, other))
		tell_line(s, other);
	if (!word_swap(&u->holder, 0, HOLDER(child, HELD_BUSY)))
		return false;
	u->parent = parent;
	u->depth = depth;
	u->is_parent = u->has_threads = 0;
	if (!hold(s, u, child, HELD_FORK)) {
		word_set(&u->holder, 0);
		return false;
	}
	if (!note_child(s, parent, child))
		tell_line(s, child);
	return true;
}

/* A process, which may be held, has got a thread. */
INLINE void note_thread(u32 pid)
{
	struct untold *u = untold_of(pid);
	if (u && (u32) * (volatile u64 *)&u->holder == pid)
		u->has_threads = 1;
}

/* The last thread of a process has come to its end: true if user space has not
 * been told of it, and need not be. It must if children outlive it. The last thread
 * has all children of the process only if there never was another. */
INLINE bool untold_ends(struct task_struct *task)
{
	u32 pid = READ(task, tgid);
	struct untold *u = untold_of(pid);
	u64 holder = u ? *(volatile u64 *)&u->holder : 0;

	if (!u || !held(holder, pid) || !interest.execs)
		return false;
	if (u->is_parent && (u->has_threads || LOAD64(&task->children) != (u64)&task->children))
		return false;
	return word_swap(&u->holder, holder, 0);
}

#else

INLINE void tell_before(struct scratch *, u32)
{
}

INLINE bool is_held(u32)
{
	return false;
}

INLINE bool hold_fork(struct scratch *, u32)
{
	return false;
}

INLINE void note_thread(u32)
{
}

INLINE bool untold_ends(struct task_struct *)
{
	return false;
}

#endif
