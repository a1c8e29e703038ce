/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls on unix sockets that no rule can match by the name of the socket. Rules see
 * that as fd.name, whose text the kernel's own addresses make: nothing of the
 * program's memory is read, which might change meanwhile. The automaton of opens
 * reads the text; needs are by kind and result (internal/sensor/plan,
 * unixsockets.go). No name is read where names leave nothing out.
 */
#pragma once
#include "filter.h"
#include "sock.h"

#ifndef NO_GLOBAL_FUNCTIONS /* verified at each call, the automaton is too much */

_Static_assert(2 * UNIX_PATH_MAX + 2 <= FILTER_PATH, "a name is read at once");

/* fd.name of a unix socket at the tail: its length. The same as UnixName of
 * internal/sensor/field makes of what sock_append tells. */
INLINE u32 unix_text(struct scratch *s, u64 sk)
{
	u32 at = s->len;
	u64 peer = LOAD64(sk + FIELD_OFFSET(struct unix_sock, peer));
	u32 n = unix_name(s, at, sk);
	u32 m = unix_name(s, at + n + 2, peer);

	if (!m && !peer && READ(AS(struct sock, sk), __sk_common.skc_state) != TCP_ESTABLISHED)
		return n;
	memcpy(&s->buf[BOUND(at + n, BODY_MASK)], "->", 2);
	return n + 2 + m;
}

/* Can any rule match a call on a unix socket? */
FUNC int unix_needed(struct scratch *s, u64 sk)
{
	struct open_filter *f = open_filter_get();

	if (!s || !f)
		return true;
	u64 needs = f->calls[BOUND(s->entry.kind, SOCKET_KINDS - 1)][s->ret >= 0];
	/* Not a need: every such call is sent. Kinds without any are not filtered by
	 * name, such as socket, whose first argument is no descriptor. */
	if (!needs || needs & FILTER_UNCLEAN)
		return true;
	s->len = HEADER_SIZE; /* no event yet: its place serves as a notepad */
	u32 n = unix_text(s, sk);
	paths_begin(s);
	s->state = 0;
	s->path_excluded = 0;
	clauses_add(s, &f->seen[0]);
	path_read(s, HEADER_SIZE, n);
	u32 state = BOUND(s->state, FILTER_STATES - 1);
	clauses_add(s, &f->end[state]);
	needs &= ~(s->path_excluded | f->end[state].excluded);
#pragma unroll
	for (u32 i = 1; i < NEED_CLAUSES; i++)
		needs &= s->clauses[i] | f->rest[i];
	return needs_remain(s, current_task(), f, needs, s->clauses[0] | f->rest[0]);
}

#endif
