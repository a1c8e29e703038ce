/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls on sockets that no rule can match, dropped where they happen. What the
 * probe knows of a call before it makes an event of it is a combination of
 * facts about the socket; every combination has a bit in the masks of the
 * call's kind (internal/sensor/plan, Sockets). A call is needed if its bit is
 * set for the kind, or for the kind and the name of the process. Where nothing
 * can be said of the socket, the rules' needs say so: no fact excludes them.
 */
#pragma once
#include "filter.h"
#include "tuple.h"

/* The fields that user space reads from the socket's FileInfo; see sock_append. */
INLINE u32 socket_facts(struct scratch *s, u64 addr)
{
	u32 facts = s->ret >= 0 ? SOCK_IS_SUCCESS : 0;

	if (!addr)
		return facts;
	struct sock *sk = AS(struct sock, addr);
	u16 family = READ(sk, __sk_common.skc_family);
	if (READ(sk, __sk_common.skc_state) == TCP_ESTABLISHED)
		facts |= SOCK_IS_CONNECTED;
	if (family == AF_UNIX) {
		if (LOAD64(addr + FIELD_OFFSET(struct unix_sock, peer)))
			facts |= SOCK_IS_CONNECTED;
		return facts | SOCK_IS_UNIX;
	}
	if (!is_ip(family))
		return facts;
	u8 protocol = READ(sk, sk_protocol);
	if (protocol == IPPROTO_TCP)
		facts |= SOCK_IS_TCP;
	if (protocol == IPPROTO_UDP)
		facts |= SOCK_IS_UDP;
	/* The first byte of an address in network order. */
	if (family == AF_INET && READ(sk, __sk_common.skc_dport) && (READ(sk, __sk_common.skc_rcv_saddr) & 0xff) == 127 &&
	    (READ(sk, __sk_common.skc_daddr) & 0xff) == 127)
		facts |= SOCK_IS_LOOPBACK;
	return facts;
}

/* Can any rule match this call on a descriptor? */
INLINE bool socket_needed(struct scratch *s, struct task_struct *task, const struct socket_needs *needs, s32 fd)
{
	u64 bit = 1ull << (socket_facts(s, fd < 0 ? 0 : fd_sock(task, fd)) & 63);

	if (needs->always & bit)
		return true;
	if (!(needs->named & bit))
		return false;
	struct open_filter *f = open_filter_get();
	struct needs *named = f ? name_needs(s, task, f) : NULL;
	return !named || named->sockets & bit;
}

/* True for a call that is left out, and counted. */
INLINE bool socket_left_out(struct scratch *s, struct task_struct *task, s32 fd)
{
	const struct socket_needs *needs = &interest.sockets[BOUND(s->entry.kind, SOCKET_KINDS - 1)];

	if (needs->always == ~0ull || socket_needed(s, task, needs, fd))
		return false;
	struct counters *c = counters_get();
	s->busy = 0;
	if (c)
		c->filtered++;
	return true;
}
