/* SPDX-License-Identifier: Apache-2.0 */
/* The end of an event: it goes to the ring, or is counted as lost. */
#pragma once
#include "cwd.h"

/* The reader is about to sleep until it is woken (package ring, await). */
extern volatile u64 reader_waits SEC(".data.reader");

/* Whether the caller is to wake the reader: the first that asks while it waits. */
INLINE bool take_wake_up(void)
{
	if (likely(!reader_waits))
		return false;
	reader_waits = 0;
	return true;
}

/* Without a flag, the ring wakes its reader whenever that had read everything
 * before (kernel/bpf/ringbuf.c, bpf_ringbuf_commit), by an interrupt that takes
 * longer than most programs. While events come in, the reader looks at the ring
 * by itself; it says when it stops, and looks once more then. As the commit is a
 * full barrier, either the reader sees this event, or the program sees behind it
 * that the reader waits, and wakes it with a record too short for an event. */
INLINE int ring_output(struct scratch *s, u32 len)
{
	u32 none = 0, i = cpus_per_ring ? s->cpu / cpus_per_ring : 0;
	void *ring = bpf_map_lookup_elem(&rings, &i);
	if (!ring)
		return -1;
	bool wake = take_wake_up();
	if (bpf_ringbuf_output(ring, s->buf, len, wake ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP)) {
		if (wake)
			reader_waits = 1;
		return -1;
	}
	if (!wake && unlikely(take_wake_up()) && bpf_ringbuf_output(ring, &none, sizeof(none), BPF_RB_FORCE_WAKEUP))
		reader_waits = 1;
	return 0;
}

INLINE void put_open_fds(struct scratch *s)
{
	s->len = (s->len + 7) & ~7;
	if (tail_full(s))
		return;
	*(struct open_fds *)tail(s) = s->open_fds;
	s->len += sizeof(struct open_fds);
	s->h.flags |= EVENT_OPEN_FDS;
}

/* Send the event; it is either delivered or counted as lost. */
FUNC int submit(struct scratch *s, u32 category)
{
	struct counters *c = counters_get();

	if (!s || !c)
		return 0;
	put_moved_dir(s);
	if (unlikely(s->fds_told))
		put_open_fds(s);
	u32 len = (s->len + 7) & ~7;
	s->busy = 0;
	if (unlikely(len > BODY_MASK)) {
		dir_not_told(s);
		count_drop(s, c, DROP_BUG, category);
		return 0;
	}
	s->h.len = len;
	s->h.lost = s->lost;
	if (unlikely(ring_output(s, len))) {
		dir_not_told(s);
		count_drop(s, c, DROP_BUFFER, category);
		s->lost++;
		return 0;
	}
	s->lost = 0;
	count_fate(s, c, DELIVERED);
	return 0;
}
