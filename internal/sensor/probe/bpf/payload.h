/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters from the task's memory: buffers, vectors, values of any type. */
#pragma once
#include "record.h"

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

/* The bytes of the next entry of s->iov. Not 0: they cannot be read. */
FUNC int iov_step(struct scratch *s)
{
	if (!s)
		return 1;
	struct iov *v = &s->iov;
	bool narrow = s->h.flags & EVENT_COMPAT;
	u32 word = narrow ? 4 : 8;
	u64 base = user_word(v->at, narrow), len = user_word(v->at + word, narrow);

	v->at += 2 * word;
	v->total += len;
	if (v->wanted <= (s64)v->filled || tail_full(s))
		return 0;
	if (len > v->wanted - v->filled)
		len = v->wanted - v->filled;
	if (len > PART_MAX - 1)
		len = PART_MAX - 1;
	if (bpf_probe_read_user(tail(s), BOUND(len, 4095), (void *)base)) {
		count_fault();
		return 1;
	}
	v->filled += len;
	s->len += len;
	return 0;
}

/* The bytes of an iovec: at most snaplen and n of them into the slot; the sum
 * of its lengths is the result. */
FUNC int put_iov(struct scratch *s, u32 slot, u64 iov, u64 count, s64 n)
{
	if (!s)
		return 0;
	struct iov *v = &s->iov;

	v->at = iov;
	v->wanted = n > snaplen ? snaplen : n;
	v->filled = 0;
	v->total = 0;
	v->start = s->len;
	for (u64 i = 0; i < IOV_MAX && i < count; i++)
		if (iov_step(s))
			break;
	s->len = v->start;
	if (slot && n >= 0)
		tail_commit(s, slot, v->filled);
	return v->total;
}

/* A Dyn parameter of a type whose values are numbers. */
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

