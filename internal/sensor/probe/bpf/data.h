/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters from the task's memory: buffers, vectors, values of any type. */
#pragma once
#include "scratch.h"

INLINE u64 user_word(u64 addr, bool narrow)
{
	u64 v = 0;
	if (bpf_probe_read_user(&v, narrow ? 4 : 8, (void *)addr))
		count_fault();
	return v;
}

FUNC int put_data(struct scratch *s, u32 slot, u64 addr, s64 n)
{
	if (!s || n < 0 || tail_full(s))
		return 0;
	if (n > snaplen)
		n = snaplen;
	if (n && bpf_probe_read_user(tail(s), BOUND(n, 4095), (void *)addr)) {
		count_fault();
		return 0;
	}
	tail_commit(s, slot, n & 4095);
	return 0;
}

#define IOV_MAX 16

/* The bytes of an iovec: at most snaplen and n of them into the slot; the sum
 * of its lengths is the result. */
FUNC int put_iov(struct scratch *s, u32 slot, u64 iov, u64 count, s64 n)
{
	if (!s)
		return 0;
	bool narrow = s->h.flags & EVENT_COMPAT;
	u32 word = narrow ? 4 : 8;
	u32 start = s->len, filled = 0;
	u64 total = 0;

	if (n > snaplen)
		n = snaplen;
	for (int i = 0; i < IOV_MAX && i < count; i++) {
		u64 base = user_word(iov + 2 * word * i, narrow);
		u64 len = user_word(iov + 2 * word * i + word, narrow);
		total += len;
		if (n <= (s64)filled || tail_full(s))
			continue;
		if (len > n - filled)
			len = n - filled;
		if (len > PART_MAX - 1)
			len = PART_MAX - 1;
		if (bpf_probe_read_user(tail(s), BOUND(len, 4095), (void *)base)) {
			count_fault();
			break;
		}
		filled += len;
		s->len += len;
	}
	s->len = start;
	if (slot && n >= 0)
		tail_commit(s, slot, filled);
	return total;
}

/* Values of event.Type, for Dyn parameters. */
enum { TYPE_ERRNO = 1, TYPE_UINT32 = 12, TYPE_UINT64 = 13, TYPE_SIGTYPE = 14, TYPE_RELTIME = 16, TYPE_BYTES = 25 };

FUNC int put_dyn(struct scratch *s, u32 slot, u8 type, u64 value)
{
	if (!s || tail_full(s))
		return 0;
	char *at = tail(s);
	*at = type;
	memcpy(at + 1, &value, 8);
	tail_commit(s, slot, 9);
	return 0;
}

