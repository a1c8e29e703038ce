/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets: what a descriptor's socket is connected to, and the addresses of a
 * call. Encodings: see internal/sensor/event/sock.go.
 */
#pragma once
#include "record.h"

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define AF_PACKET 17

#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_DCCP 33
#define IPPROTO_MPTCP 262
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_CLOSE 7
#define TCP_LISTEN 10
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define SOCK_BINDPORT_LOCK 8

#define UNIX_PATH_MAX 108

enum direction { UNDIRECTED, OUTBOUND, INBOUND };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct inet_bind_bucket {
	signed char fastreuse;
};

struct inet_connection_sock {
	struct inet_bind_bucket *icsk_bind_hash;
};

/* A bit field in sock, 4 bits wide. */
struct sock___locks {
	u8 sk_userlocks : 4;
};
#pragma clang attribute pop

INLINE u16 ntohs(u16 n)
{
	return __builtin_bswap16(n);
}

INLINE bool ip6_mapped(const u8 *ip)
{
	return *(u64 *)ip == 0 && *(u32 *)(ip + 8) == 0xffff0000;
}

INLINE bool ip6_any(const u8 *ip)
{
	return *(u64 *)ip == 0 && *(u64 *)(ip + 8) == 0;
}

INLINE bool is_same_ip(const u8 *a, const u8 *b, u16 family)
{
	return family == AF_INET ? *(u32 *)a == *(u32 *)b : *(u64 *)a == *(u64 *)b && *(u64 *)(a + 8) == *(u64 *)(b + 8);
}

/* Addresses of an IPv6 socket to IPv4 ones where it carries IPv4. */
INLINE void conn_unmap(struct conn *c)
{
	bool local = ip6_mapped(c->local.ip), remote = ip6_mapped(c->remote.ip);

	if ((local && (remote || ip6_any(c->remote.ip))) || (remote && ip6_any(c->local.ip))) {
		*(u32 *)c->local.ip = *(u32 *)(c->local.ip + 12);
		*(u32 *)c->remote.ip = *(u32 *)(c->remote.ip + 12);
		c->family = AF_INET;
	}
}

INLINE bool is_ip(u16 family)
{
	return family == AF_INET || family == AF_INET6;
}

/* Does the call send, and may it name to whom? */
INLINE bool is_send(struct scratch *s)
{
	return s->entry.kind == KIND_SENDTO || s->entry.kind == KIND_SENDMSG || s->entry.kind == KIND_SENDMMSG;
}

/* Does the call send to whom it names, even if its socket is connected? */
INLINE bool is_sent_to_named(struct scratch *s, u8 l4proto)
{
	return l4proto != IPPROTO_TCP && l4proto != IPPROTO_DCCP && is_send(s);
}

/* An unconnected socket's peer is whom this call sends to or hears from; so is a
 * connected one's if it sends to another, to whom it is not connected. */
INLINE void conn_name_peer(struct scratch *s, struct conn *c, struct sock *sk)
{
	struct peer *p = &s->peer;
	bool sends = is_sent_to_named(s, c->l4proto);

	if (!is_ip(p->family) || (c->remote.port && !sends))
		return;
	if (p->family != c->family) {
		if (READ(sk, __sk_common.skc_family) != AF_INET6)
			return;
		/* A socket for both families: its own address is "any" of the other. */
		memset(c->local.ip, 0, 16);
		c->family = p->family;
	} else if (c->remote.port == p->port && is_same_ip(c->remote.ip, p->ip, c->family)) {
		return;
	}
	if (sends)
		c->state = TCP_CLOSE;
	memcpy(c->remote.ip, p->ip, 16);
	c->remote.port = p->port;
}

/* A connection over several paths is TCP to its ends, and in Falco's numbers,
 * which have 8 bits. */
INLINE u8 sock_protocol(struct sock *sk)
{
	u16 protocol = READ(sk, sk_protocol);

	return protocol == IPPROTO_MPTCP ? IPPROTO_TCP : protocol;
}

/* The ends of an IP socket, or of the call that names another. */
INLINE void conn_read(struct scratch *s, struct conn *c, struct sock *sk)
{
	c->family = READ(sk, __sk_common.skc_family);
	c->state = READ(sk, __sk_common.skc_state);
	c->l4proto = sock_protocol(sk);
	c->local.port = READ(sk, __sk_common.skc_num);
	c->remote.port = ntohs(READ(sk, __sk_common.skc_dport));
	if (READ(sk, sk_type) == SOCK_RAW) /* skc_num is the protocol */
		c->local.port = c->remote.port = 0;
	if (c->family == AF_INET) {
		*(u32 *)c->local.ip = READ(sk, __sk_common.skc_rcv_saddr);
		if (c->remote.port)
			*(u32 *)c->remote.ip = READ(sk, __sk_common.skc_daddr);
		conn_name_peer(s, c, sk);
		return;
	}
	u32 local = FIELD_OFFSET(struct sock, __sk_common.skc_v6_rcv_saddr);
	u32 remote = FIELD_OFFSET(struct sock, __sk_common.skc_v6_daddr);
	*(u64 *)c->local.ip = LOAD64((char *)sk + local);
	*(u64 *)(c->local.ip + 8) = LOAD64((char *)sk + local + 8);
	/* A connect that failed leaves the address, without a port. */
	if (c->remote.port) {
		*(u64 *)c->remote.ip = LOAD64((char *)sk + remote);
		*(u64 *)(c->remote.ip + 8) = LOAD64((char *)sk + remote + 8);
	}
	conn_unmap(c);
	conn_name_peer(s, c, sk);
}

/* What the first message of a bound datagram socket said that it is, by the
 * socket's inode: who sends first is the client. */
extern struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, u8);
} datagram_roles SEC(".maps");

/* A datagram socket is a client if it is connected, or did not choose its port
 * itself; otherwise by its first message, as far as the probe has seen it. */
INLINE u8 datagram_role(struct scratch *s, const struct conn *c, u64 inode, bool bound)
{
	if (c->state == TCP_ESTABLISHED || !bound)
		return FILE_CLIENT;
	u8 *known = bpf_map_lookup_elem(&datagram_roles, &inode);
	if (known)
		return *known;
	if (!s->direction)
		return FILE_SERVER;
	u8 role = s->direction == OUTBOUND ? FILE_CLIENT : FILE_SERVER;
	bpf_map_update_elem(&datagram_roles, &inode, &role, 0);
	return role;
}

/*
 * Which end the socket is. connect and accept know; otherwise the kernel does
 * not say it outright. A TCP socket that called bind itself has a lock on its
 * port, which an accepted one does not inherit (sk_clone_lock); of the rest,
 * fastreuse is -1 for ports that connect chose (__inet_hash_connect), while an
 * accepted socket shares its listener's.
 */
INLINE u8 conn_role(struct scratch *s, struct sock *sk, const struct conn *c, u64 inode)
{
	if (s->role)
		return s->role;
	if (c->state == TCP_LISTEN)
		return FILE_SERVER;
	bool datagram = c->l4proto != IPPROTO_TCP;
	if (!c->remote.port && !(datagram && s->direction)) /* a message that names nobody tells the role, too */
		return 0;
	bool locked = LOAD_BITS(sk, struct sock___locks, sk_userlocks) & SOCK_BINDPORT_LOCK;
	if (datagram)
		return datagram_role(s, c, inode, locked);
	if (locked)
		return FILE_CLIENT;
	struct inet_connection_sock *icsk = AS(struct inet_connection_sock, sk);
	struct inet_bind_bucket *bucket = READ(icsk, icsk_bind_hash);
	return bucket && READ(bucket, fastreuse) != -1 ? FILE_SERVER : FILE_CLIENT;
}

/* The type of a descriptor by its socket. */
INLINE u8 sock_type(struct scratch *s, u64 socket)
{
	u64 addr = LOAD64(socket + FIELD_OFFSET(struct socket, sk));
	struct sock *sk = AS(struct sock, addr);
	struct conn c = {};

	if (!addr)
		return FD_OTHER_SOCKET;
	switch (READ(sk, __sk_common.skc_family)) {
	case AF_INET:
		return FD_IPV4;
	case AF_INET6:
		conn_read(s, &c, sk);
		return c.family == AF_INET ? FD_IPV4 : FD_IPV6;
	case AF_UNIX:
		return FD_UNIX;
	case AF_NETLINK:
		return FD_NETLINK;
	case AF_PACKET:
		return FD_PACKET;
	}
	return FD_OTHER_SOCKET;
}

INLINE u32 conn_size(const struct conn *c)
{
	return c->family == AF_INET ? 4 : 16;
}

/* Copy an address of 4 or 16 bytes; both copies are made, the longer first, so
 * that there is no branch. at has room for 16. */
INLINE void put_ip(char *at, const u8 *ip, u32 n)
{
	memcpy(at, ip, 4);
	if (n == 16)
		memcpy(at + 4, ip + 4, 12);
}

/* The name of a unix socket at the tail, offset at: its length. Abstract names
 * start with a NUL in the kernel and with '@' here, and end where the address
 * ends, not at a NUL. */
FUNC int unix_name(struct scratch *s, u32 at, u64 sk)
{
	if (!s)
		return 0;
	struct unix_address *addr = sk ? READ(AS(struct unix_sock, sk), addr) : NULL;
	char *to = &s->buf[at & BODY_MASK];

	if (!addr)
		return 0;
	int n = READ(addr, len) - 2; /* without sun_family */
	if (n <= 0)
		return 0;
	if (n > UNIX_PATH_MAX)
		n = UNIX_PATH_MAX;
	const char *from = (const char *)&addr->name[0].sun_path[0];
	if (bpf_probe_read_kernel(to, BOUND(n, 127), from))
		return 0;
	if (!*to) {
		*to = '@';
		return n & 127;
	}
	long len = bpf_probe_read_kernel_str(to, BOUND(n, 127) + 1, from);
	return len > 0 ? (len - 1) & 127 : 0;
}

/* FileInfo of a socket at the tail, from a socket file: its length. */
FUNC int sock_append(struct scratch *s, u64 socket)
{
	if (!s)
		return 0;
	struct file_info *f = (struct file_info *)tail(s);
	char *data = (char *)f + FILE_INFO_SIZE;
	u64 addr = LOAD64(socket + FIELD_OFFSET(struct socket, sk));
	struct sock *sk = AS(struct sock, addr);

	if (!addr) {
		f->type = FD_OTHER_SOCKET;
		return FILE_INFO_SIZE;
	}
	u16 family = READ(sk, __sk_common.skc_family);
	u8 state = READ(sk, __sk_common.skc_state);
	f->family = family;
	if (state == TCP_ESTABLISHED)
		f->flags |= FILE_CONNECTED;
	if (state == TCP_LISTEN)
		f->flags |= FILE_LISTENING;
	if (is_ip(family)) {
		struct conn c = {};
		conn_read(s, &c, sk);
		u32 n = conn_size(&c);
		f->type = c.family == AF_INET ? FD_IPV4 : FD_IPV6;
		f->family = c.family;
		f->l4proto = c.l4proto;
		f->sport = c.local.port;
		f->dport = c.remote.port;
		if (c.state != TCP_ESTABLISHED) /* sent to another */
			f->flags &= ~FILE_CONNECTED;
		f->flags |= conn_role(s, sk, &c, f->ino);
		put_ip(data, c.local.ip, n);
		put_ip(data + n, c.remote.ip, n);
		return FILE_INFO_SIZE + 2 * n;
	}
	if (family == AF_UNIX) {
		u32 at = s->len + FILE_INFO_SIZE;
		u64 peer = LOAD64(addr + FIELD_OFFSET(struct unix_sock, peer));
		f->type = FD_UNIX;
		if (peer) /* pairs of datagram sockets have no other sign of it on old kernels */
			f->flags |= FILE_CONNECTED;
		u32 n = unix_name(s, at, addr);
		f->sport = n; /* names may contain NULs */
		s->buf[(at + n) & BODY_MASK] = 0;
		u32 m = unix_name(s, at + n + 1, peer);
		return FILE_INFO_SIZE + n + 1 + m;
	}
	f->type = family == AF_NETLINK ? FD_NETLINK : family == AF_PACKET ? FD_PACKET : FD_OTHER_SOCKET;
	return FILE_INFO_SIZE;
}
