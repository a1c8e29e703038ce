/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules that can match a call on a socket, by the addresses and ports of its
 * ends (internal/sensor/plan, Addresses). Each of the four is looked up by itself:
 * there is a set of rules for each part that an end can play, and a call's set is
 * what the sets of its ends have in common. Where the socket does not tell which
 * end is the client, both ways count. Where the socket has no other end, or sends a
 * datagram, the one that the call names counts. What is read of them is what the
 * event has.
 */
#pragma once
#include "mask.h"
#include "tuple.h"

#define PORT_RULES 256

struct end_rules {
	struct rule_bits of[ENDS];
};

struct port_rules {
	u8 index[1 << 16]; /* by port */
	struct end_rules rules[PORT_RULES];
};

/* Two, as of rule_masks. */
extern struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct port_rules);
} port_rules SEC(".maps");

/* By network; those of older rules are removed once newer ones are in force. */
extern struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 16);
	__type(key, struct network_key);
	__type(value, struct end_rules);
} network_rules SEC(".maps");

INLINE const struct end_rules *rules_of_address(struct scratch *s, u32 plan, const struct endpoint *e)
{
	struct network_key *key = &s->network;
	bool mapped = ip6_mapped(e->ip);

	key->plan = plan;
	if (s->ends.family == AF_INET || mapped) {
		key->family = AF_INET;
		key->len = NETWORK_BITS + 32;
		*(u32 *)key->ip = *(u32 *)(mapped ? e->ip + 12 : e->ip);
	} else {
		key->family = AF_INET6;
		key->len = NETWORK_BITS + 128;
		memcpy(key->ip, e->ip, 16);
	}
	return bpf_map_lookup_elem(&network_rules, key);
}

INLINE const struct end_rules *rules_of_port(const struct port_rules *p, u16 port)
{
	return &p->rules[p->index[port]];
}

INLINE struct rule_bits rules_at(const struct end_rules *address, const struct end_rules *port, u32 end)
{
	return rules_both(address->of[end], port->of[end]);
}

INLINE void rules_keep(struct scratch *s, struct rule_bits b)
{
	s->rules = rules_both(s->rules, b);
	s->host_rules = rules_both(s->host_rules, b);
}

INLINE bool has_connected(struct scratch *s)
{
	return s->entry.kind == KIND_CONNECT && (s->ret == 0 || s->ret == -EINPROGRESS);
}

/* May the event have another end than the socket? */
INLINE bool names_peer(struct scratch *s, const struct conn *c)
{
	if (c->remote.port)
		return is_sent_to_named(s, c->l4proto);
	switch (s->entry.kind) {
	case KIND_RECVFROM:
	case KIND_RECVMSG:
	case KIND_RECVMMSG:
		return true;
	}
	return is_send(s) || has_connected(s);
}

/* The ends of a call on a socket to s->ends, as its event has them (sock_append). */
FUNC int ends_read(struct scratch *s, u64 sk)
{
	if (!s)
		return 0;
	struct conn *c = &s->ends;

	memset(c, 0, sizeof(*c));
	conn_read(s, c, AS(struct sock, sk));
	if (names_peer(s, c)) {
		call_peer(s);
		conn_name_peer(s, c, AS(struct sock, sk));
	}
	return 0;
}

/* What the tables say of the two ends of a call. */
struct found {
	const struct end_rules *local, *local_port, *remote, *remote_port;
};

/* Adds the rules that can match if the local end plays this part. */
INLINE void add_part(struct scratch *s, struct found *f, u32 local, u32 remote)
{
	struct rule_bits b = rules_both(rules_at(f->local, f->local_port, local), rules_at(f->remote, f->remote_port, remote));

	s->at_ends.lo |= b.lo;
	s->at_ends.hi |= b.hi;
}

#ifndef NO_GLOBAL_FUNCTIONS
/* Is there no other end? An address without a port is one: a raw socket's. */
INLINE bool is_alone(const struct conn *c)
{
	return !c->remote.port && (c->family == AF_INET ? !*(u32 *)c->remote.ip : ip6_any(c->remote.ip));
}

/* Leaves in the scratch the rules that can match a call on a socket by its
 * addresses. */
FUNC int address_rules(u64 sk)
{
	struct scratch *s = scratch_get(); /* no argument, of which kernels such as 6.1 take no key */

	if (!s)
		return 0;
	u32 i = s->masks - 1;
	struct rule_masks *m = bpf_map_lookup_elem(&rule_masks, &i);
	struct port_rules *p = bpf_map_lookup_elem(&port_rules, &i);
	if (!m || !p)
		return 0;
	s->at_ends = m->nameless;
	if (sk && is_ip(READ(AS(struct sock, sk), __sk_common.skc_family))) {
		ends_read(s, sk);
		struct conn *c = &s->ends;
		bool alone = is_alone(c);
		struct found f;
		f.local = rules_of_address(s, m->plan, &c->local);
		f.remote = rules_of_address(s, m->plan, &c->remote);
		if (!f.local || !f.remote)
			return 0;
		f.local_port = rules_of_port(p, c->local.port);
		f.remote_port = rules_of_port(p, c->remote.port);
		if (!alone || c->local.port)
			s->at_ends.lo = s->at_ends.hi = 0;
		if (alone && c->local.port)
			s->at_ends = rules_at(f.local, f.local_port, LOCAL_ALONE);
		if (!alone && s->entry.kind != KIND_ACCEPT && s->entry.kind != KIND_ACCEPT4)
			add_part(s, &f, LOCAL_CLIENT, REMOTE_SERVER);
		if (!alone && !has_connected(s))
			add_part(s, &f, LOCAL_SERVER, REMOTE_CLIENT);
	}
	rules_keep(s, s->at_ends);
	return 0;
}
#endif
