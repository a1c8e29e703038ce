/* SPDX-License-Identifier: Apache-2.0 */
/* A record goes to the ring of its CPU. */
#pragma once
#include "record.h"

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
INLINE int ring_output(u32 cpu, void *data, u32 len)
{
	u32 none = 0, i = cpus_per_ring ? cpu / cpus_per_ring : 0;
	void *ring = bpf_map_lookup_elem(&rings, &i);
	if (!ring)
		return -1;
	bool wake = take_wake_up();
	if (bpf_ringbuf_output(ring, data, len, wake ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP)) {
		if (wake)
			reader_waits = 1;
		return -1;
	}
	if (!wake && unlikely(take_wake_up()) && bpf_ringbuf_output(ring, &none, sizeof(none), BPF_RB_FORCE_WAKEUP))
		reader_waits = 1;
	return 0;
}
