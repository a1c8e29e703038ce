/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting: for descriptors, for a time, for memory to change. */
#include "flags.h"
#include "payload.h"
#include "shapes.h"
#include "submit.h"

#define POLL_MAX 16

/* The descriptors that were asked about, with what became of them. */
FUNC int put_poll(struct scratch *s, u32 slot, u64 fds, u64 n)
{
	if (!s)
		return 0;
	u32 start = s->len, count = 0;

	if (tail_full(s))
		return 0;
	s->len += 2;
	for (u64 i = 0; i < POLL_MAX && i < n; i++) {
		struct {
			s32 fd;
			s16 events, revents;
		} p;
		if (bpf_probe_read_user(&p, sizeof(p), (void *)(fds + 8 * i))) {
			count_fault();
			break;
		}
		char *at = tail(s);
		s64 fd = p.fd;
		*(u16 *)(at + 8) = poll_events(p.revents);
		memcpy(at, &fd, 8);
		s->len += 10;
		count++;
	}
	if (n > POLL_MAX)
		s->h.flags |= EVENT_TRUNCATED;
	u32 len = s->len - start;
	s->len = start;
	*(u16 *)tail(s) = count;
	tail_commit(s, slot, len);
	return 0;
}

INLINE u64 user_time(struct scratch *s, u64 addr)
{
	u64 t[2] = {};

	if (s->h.flags & EVENT_COMPAT) {
		u32 w[2] = {};
		bpf_probe_read_user(w, sizeof(w), (void *)addr);
		t[0] = w[0];
		t[1] = w[1];
	} else {
		bpf_probe_read_user(t, sizeof(t), (void *)addr);
	}
	return t[0] * 1000000000 + t[1];
}

/* timeout and sigmask as they were given; -1: no timeout. */
INLINE void put_ppoll(struct scratch *s)
{
	u64 t[2] = {};

	SLOT(s, PPOLL_RES) = s->ret;
	if (s->args[2] && !bpf_probe_read_user(t, 16, (void *)s->args[2]))
		SLOT(s, PPOLL_TIMEOUT) = t[0] * 1000000000 + t[1];
	else
		SLOT(s, PPOLL_TIMEOUT) = -1;
	if (s->args[3] && !bpf_probe_read_user(t, 8, (void *)s->args[3]))
		SLOT(s, PPOLL_SIGMASK) = (u32)t[0];
	put_poll(s, PPOLL_FDS, s->args[0], (u32)s->args[1]);
}

SEC("tp_btf/sys_exit")
int family_wait(void)
{
	struct scratch *s = scratch_get();

	if (!s)
		return 0;
	switch (s->entry.kind) {
	case KIND_EPOLL_WAIT:
		BEGIN(EPOLL_WAIT);
		SLOT(s, EPOLL_WAIT_RES) = s->ret;
		SLOT(s, EPOLL_WAIT_MAXEVENTS) = (s32)s->args[2];
		break;
	case KIND_SELECT:
		BEGIN(SELECT);
		SLOT(s, SELECT_RES) = s->ret;
		break;
	case KIND_POLL:
		BEGIN(POLL);
		SLOT(s, POLL_RES) = s->ret;
		SLOT(s, POLL_TIMEOUT) = (s32)s->args[2];
		put_poll(s, POLL_FDS, s->args[0], (u32)s->args[1]);
		break;
	case KIND_PPOLL:
		BEGIN(PPOLL);
		put_ppoll(s);
		break;
	case KIND_NANOSLEEP:
		BEGIN(NANOSLEEP);
		SLOT(s, NANOSLEEP_RES) = s->ret;
		SLOT(s, NANOSLEEP_INTERVAL) = user_time(s, s->args[0]);
		break;
	case KIND_FUTEX:
		BEGIN(FUTEX);
		SLOT(s, FUTEX_RES) = s->ret;
		SLOT(s, FUTEX_ADDR) = s->args[0];
		SLOT(s, FUTEX_OP) = (u32)s->args[1] & 0x1ff;
		SLOT(s, FUTEX_VAL) = (u32)s->args[2];
		break;
	default:
		return wrong_family(s);
	}
	return submit(s, s->entry.category);
}
