/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages on sockets that are not of UDP: of connections, most of all. Rules that
 * ask for messages mean datagrams, as a rule, and then none can match these,
 * whatever else is known of the socket. They are dropped before more is read of it:
 * servers, and those who talk to them, hardly do anything else.
 */
#pragma once
#include "arch.h"
#include "file.h"

#define MSG_FASTOPEN 0x20000000

/* Combinations of facts (socketfilter.h) that are those of TCP, of unix sockets, and
 * of those that are neither, nor of UDP. */
#define TCP_COMBINATIONS 0x000c000c000c000cull
#define UNIX_COMBINATIONS 0x0300030003000300ull
#define OTHER_COMBINATIONS 0x0003000300030003ull

_Static_assert(SOCK_IS_TCP == 1 << 1 && SOCK_IS_UDP == 1 << 2 && SOCK_IS_UNIX == 1 << 3, "combinations");

/* True for a call that is left out, and counted; e is what is asked of it. One on a
 * socket of UDP never is: who sends first is the client. */
INLINE bool message_left_out(struct counters *c, struct task_struct *task, struct pt_regs *regs, union entry e)
{
	const struct socket_needs *needs = &interest.sockets[BOUND(e.kind, SOCKET_KINDS - 1)];
	u64 needed = needs->always | needs->named;
	u64 began = unlikely(timed) ? bpf_ktime_get_boot_ns() : 0;

	if (needed & TCP_COMBINATIONS && needed & UNIX_COMBINATIONS)
		return false;
	u64 addr = fd_sock(task, FIRST_ARG(regs));
	struct sock *sk = AS(struct sock, addr);
	if (!addr)
		return false;
	u16 family = READ(sk, __sk_common.skc_family);
	u64 combinations = family == AF_UNIX ? UNIX_COMBINATIONS : OTHER_COMBINATIONS;
	if (is_ip(family)) {
		/* The flags are one of these, and such a call connects, too (message.c). */
		if (sock_protocol(sk) != IPPROTO_TCP || unlikely((THIRD_ARG(regs) | FOURTH_ARG(regs)) & MSG_FASTOPEN))
			return false;
		combinations = TCP_COMBINATIONS;
	}
	if (needed & combinations)
		return false;
	c->seen++;
	count(c, e.family, FILTERED, began);
	return true;
}
