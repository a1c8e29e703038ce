/* SPDX-License-Identifier: Apache-2.0 */
/* The end of an event: it goes to the ring, or is counted as lost. */
#pragma once
#include "cwd.h"
#include "untold.h"

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
	tell_before(s, s->h.pid);
	put_moved_dir(s);
	if (unlikely(s->fds_told))
		put_open_fds(s);
	u32 len = (s->len + 7) & ~7;
	s->busy = 0;
	if (unlikely(len > BODY_MASK)) {
		count_drop(s, c, DROP_BUG, category);
		return 0;
	}
	s->h.len = len;
	s->h.lost = s->lost;
	if (unlikely(ring_output(s->cpu, s->buf, len))) {
		count_drop(s, c, DROP_BUFFER, category);
		s->lost++;
		return 0;
	}
	dir_in_ring(s);
	s->lost = 0;
	count_fate(s, c, DELIVERED);
	return 0;
}
