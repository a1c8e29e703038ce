/* SPDX-License-Identifier: Apache-2.0 */
/* The two ends of a call on a socket: the address it names, and what is sent or
 * received from where to where. */
#pragma once
#include "file.h"
#include "payload.h"

/* The family of an address that has none, where a message is sent: of IPv4, and of
 * raw IPv6 sockets, it is their own (udp_sendmsg, raw_sendmsg, rawv6_sendmsg). */
INLINE u16 own_family(struct scratch *s)
{
	if (!is_send(s))
		return 0;
	u64 addr = fd_sock(current_task(), s->args[0]);
	struct sock *sk = AS(struct sock, addr);
	if (!addr)
		return 0;
	u16 family = READ(sk, __sk_common.skc_family);
	return family == AF_INET || (family == AF_INET6 && READ(sk, sk_type) == SOCK_RAW) ? family : 0;
}

/* The address that a call was given, or gave back, to s->peer. */
FUNC int read_peer(struct scratch *s, u64 addr, u32 len)
{
	if (!s)
		return 0;
	struct peer *p = &s->peer;
	p->family = 0;
	if (!addr || len < 2)
		return 0;
	if (len > 128)
		len = 128;
	if (bpf_probe_read_user(p->raw, BOUND(len, 255), (void *)addr)) {
		count_fault();
		return 0;
	}
	p->len = len;
	p->port = ntohs(*(u16 *)(p->raw + 2));
	u16 family = *(u16 *)p->raw;
	if (unlikely(!family))
		family = own_family(s);
	if (family == AF_INET && len >= 8) {
		memset(p->ip, 0, 16);
		*(u32 *)p->ip = *(u32 *)(p->raw + 4);
	} else if (family == AF_INET6 && len >= 24) {
		memcpy(p->ip, p->raw + 8, 16);
		if (ip6_mapped(p->ip)) {
			*(u32 *)p->ip = *(u32 *)(p->ip + 12);
			family = AF_INET;
		}
	} else if (family != AF_UNIX) {
		return 0;
	}
	p->family = family;
	return 0;
}

/* Whom the call names as the other end, to s->peer, unless it was read before:
 * the program's memory is looked at once, so that the event shows what the filter
 * has judged, whatever another thread writes there meanwhile. */
FUNC int call_peer(struct scratch *s)
{
	if (!s || s->peer.read)
		return 0;
	bool narrow = s->h.flags & EVENT_COMPAT;
	u64 at = s->args[4], len = s->args[5]; /* of sendto */

	s->peer.read = 1;
	switch (s->entry.kind) {
	case KIND_CONNECT:
		at = s->args[1];
		len = s->args[2];
		break;
	case KIND_SENDTO:
		break;
	case KIND_RECVFROM:
		if (s->ret < 0 || !at || !len)
			return 0;
		len = user_word(len, true);
		break;
	case KIND_RECVMSG:
	case KIND_RECVMMSG: /* the first of the messages, as for sendmmsg */
		if (s->ret < 0)
			return 0;
	case KIND_SENDMSG:
	case KIND_SENDMMSG: /* struct user_msghdr begins with them */
		at = user_word(s->args[1], narrow);
		len = user_word(s->args[1] + (narrow ? 4 : 8), narrow);
		break;
	default:
		return 0;
	}
	return read_peer(s, at, len);
}

/* The path in s->peer at the tail, offset at: its length. */
INLINE u32 peer_path(struct scratch *s, u32 at)
{
	struct peer *p = &s->peer;
	char *to = &s->buf[at & BODY_MASK];
	u32 n = p->len - 2;

	if (n > UNIX_PATH_MAX)
		n = UNIX_PATH_MAX;
	if (!n)
		return 0;
	if (!p->raw[2]) { /* abstract: ends where the address does */
		bpf_probe_read_kernel(to, BOUND(n, 127), p->raw + 2);
		*to = '@';
		return n;
	}
	p->raw[BOUND(2 + n, 127)] = 0;
	long len = bpf_probe_read_kernel_str(to, 128, p->raw + 2);
	return len > 0 ? (len - 1) & 127 : 0;
}

/* s->peer as a SockAddr. */
FUNC int put_peer(struct scratch *s, u32 slot)
{
	if (!s)
		return 0;
	struct peer *p = &s->peer;
	char *at = tail(s);
	u32 n;

	if (!p->family || tail_full(s))
		return 0;
	*at = p->family;
	if (p->family == AF_UNIX) {
		n = peer_path(s, s->len + 1);
		tail_commit(s, slot, 1 + n);
		return 0;
	}
	n = p->family == AF_INET ? 4 : 16;
	put_ip(at + 1, p->ip, n);
	*(u16 *)(at + 1 + n) = p->port;
	tail_commit(s, slot, 1 + n + 2);
	return 0;
}

/* A SockTuple: source, then destination, of what is sent or received. */
FUNC int put_tuple(struct scratch *s, u32 slot, s32 fd, u32 direction)
{
	u64 addr = fd_sock(current_task(), fd);

	if (!s || !addr || tail_full(s))
		return 0;
	s->direction = direction;
	struct sock *sk = AS(struct sock, addr);
	char *at = tail(s);
	u16 family = READ(sk, __sk_common.skc_family);
	if (is_ip(family)) {
		struct conn c = {};
		conn_read(s, &c, sk);
		u32 n = conn_size(&c);
		const struct endpoint *from = direction == INBOUND ? &c.remote : &c.local;
		const struct endpoint *to = direction == INBOUND ? &c.local : &c.remote;
		*at = c.family;
		put_ip(at + 1, from->ip, n);
		*(u16 *)(at + 1 + n) = from->port;
		put_ip(at + 3 + n, to->ip, n);
		*(u16 *)(at + 3 + 2 * n) = to->port;
		tail_commit(s, slot, 5 + 2 * n);
	} else if (family == AF_UNIX) {
		u64 remote = LOAD64(addr + FIELD_OFFSET(struct unix_sock, peer));
		u64 from = direction == INBOUND ? remote : addr;
		u64 to = direction == INBOUND ? addr : remote;
		*at = AF_UNIX;
		u32 n = unix_name(s, s->len + 2, from);
		at[1] = n;
		n += 2;
		bool named = direction == OUTBOUND && s->peer.family == AF_UNIX;
		if (named && (!remote || (is_send(s) && READ(sk, sk_type) == SOCK_DGRAM)))
			n += peer_path(s, s->len + n);
		else
			n += unix_name(s, s->len + n, to);
		tail_commit(s, slot, n);
	}
	return 0;
}

#define EINPROGRESS 115

/* The parameters of a connect to s->peer. */
FUNC int put_connection(struct scratch *s, s32 fd, s32 res)
{
	if (!s)
		return 0;
	SLOT(s, CONNECT_RES) = (s64)res;
	SLOT(s, CONNECT_FD) = fd;
	put_peer(s, CONNECT_ADDR);
	if (res == 0 || res == -EINPROGRESS) {
		s->role = FILE_CLIENT;
		put_tuple(s, CONNECT_TUPLE, fd, OUTBOUND);
	} else {
		s->peer.family = 0; /* refused: the socket keeps its old name */
	}
	put_fd(s, CONNECT_FILE, fd);
	return 0;
}
