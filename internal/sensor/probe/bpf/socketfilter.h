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
#include "addressfilter.h"
#include "filter.h"
#include "unixfilter.h"

/* The fields that user space reads from the socket's FileInfo; see sock_append. */
FUNC u32 socket_facts(struct scratch *s, u64 addr)
{
	if (!s)
		return 0;
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
	u8 protocol = sock_protocol(sk);
	if (protocol == IPPROTO_TCP)
		facts |= SOCK_IS_TCP;
	if (protocol == IPPROTO_UDP)
		facts |= SOCK_IS_UDP;
	if (facts & SOCK_IS_CONNECTED && is_sent_to_named(s, protocol)) {
		ends_read(s, addr);
		if (s->ends.state != TCP_ESTABLISHED) /* to another */
			return facts & ~SOCK_IS_CONNECTED;
	}
	/* The first byte of an address in network order. Raw sockets have no ports,
	 * and each call may name another peer. */
	if (family == AF_INET && READ(sk, sk_type) != SOCK_RAW && READ(sk, __sk_common.skc_dport) && (READ(sk, __sk_common.skc_rcv_saddr) & 0xff) == 127 &&
	    (READ(sk, __sk_common.skc_daddr) & 0xff) == 127)
		facts |= SOCK_IS_LOOPBACK;
	return facts;
}

/* Can any rule match this call on a descriptor? */
INLINE bool socket_needed(struct scratch *s, struct task_struct *task, const struct socket_needs *needs, u32 facts)
{
	u64 bit = 1ull << (facts & 63);

	if (needs->always & bit)
		return true;
	if (!(needs->named & bit))
		return false;
	struct open_filter *f = open_filter_get();
	struct needs *named = f ? name_needs(s, task, f) : NULL;
	return !named || named->sockets & bit;
}

/* What becomes of a call on a socket, of which more is known now: these facts,
 * and the addresses of the socket if there is one. */
INLINE u32 fate_on_socket(struct scratch *s, struct rule_masks *m, [[maybe_unused]] u64 sk, u32 facts)
{
	struct special *sp = &m->specials[BOUND(s->entry.kind, SOCKET_KINDS - 1)];

	if (!sp->sockets)
		return DELIVERED;
	rules_keep(s, m->sockets[BOUND(sp->sockets - 1, MASKED_SOCKETS - 1)][facts & 63]);
#ifndef NO_GLOBAL_FUNCTIONS /* verified for each way that leads to it, half as much again */
	if (sp->addresses && !no_rules(rules_both(s->rules, s->mask)))
		address_rules(sk);
#endif
	if (none_can_match(s->rules, s->host_rules))
		return FILTERED;
	return none_can_match_process(s, s->rules, s->host_rules) ? MASKED : DELIVERED;
}

/* Who sends first is the client (datagram_role), also where nobody asks for
 * this message. */
INLINE void learn_role(struct scratch *s, struct task_struct *task, s32 fd, u64 sk)
{
	struct conn c = {};
	u64 file = fd_file(task, fd);

	if (!is_ip(READ(AS(struct sock, sk), __sk_common.skc_family)))
		return;
	switch (s->entry.kind) {
	case KIND_SEND:
	case KIND_SENDTO:
	case KIND_SENDMSG:
	case KIND_SENDMMSG:
		s->direction = OUTBOUND;
		break;
	case KIND_RECV:
	case KIND_RECVFROM:
	case KIND_RECVMSG:
	case KIND_RECVMMSG:
		s->direction = INBOUND;
		break;
	default:
		return;
	}
	if (!file)
		return;
	struct inode *inode = READ(AS(struct file, file), f_inode);
	bool bound = LOAD_BITS(AS(struct sock, sk), struct sock___locks, sk_userlocks) & SOCK_BINDPORT_LOCK;
	datagram_role(s, &c, READ(inode, i_ino), bound);
}

/* True for a call that is left out, and counted. A function, so that the verifier
 * does not go through the rest of the program for each way through this. */
FUNC_OR_INLINE int socket_left_out(struct scratch *s, s32 fd)
{
	if (!s)
		return false;
	struct task_struct *task = current_task();
	const struct socket_needs *needs = &interest.sockets[BOUND(s->entry.kind, SOCKET_KINDS - 1)];

	struct rule_masks *m = s->masks ? rule_masks_get(s) : NULL;
	if (needs->always == ~0ull && !m)
		return false;
	u64 sk = fd < 0 ? 0 : fd_sock(task, fd);
	u32 facts = socket_facts(s, sk);
	u32 fate = FILTERED;
	if (socket_needed(s, task, needs, facts))
		fate = m ? fate_on_socket(s, m, sk, facts) : DELIVERED;
#ifndef NO_GLOBAL_FUNCTIONS
	if (fate == DELIVERED && facts & SOCK_IS_UNIX && interest.open_filter && !unix_needed(s, sk))
		fate = FILTERED;
#endif
	if (fate == DELIVERED)
		return false;
	struct counters *c = counters_get();
	if (sk && (facts & (SOCK_IS_TCP | SOCK_IS_SUCCESS | SOCK_IS_CONNECTED)) == SOCK_IS_SUCCESS)
		learn_role(s, task, fd, sk);
	if (c)
		leave_out_as(s, c, fate);
	else
		s->busy = 0;
	return true;
}
