/* SPDX-License-Identifier: Apache-2.0 */
/* Data that goes through sockets. */
#include "flags.h"
#include "messagefilter.h"
#include "payload.h"
#include "socketfilter.h"
#include "submit.h"

/* Of struct user_msghdr, with 4 or 8 bytes a word, what is behind the address. */
struct message {
	u64 iov, iov_len, control, control_len;
};

INLINE void read_message(struct message *m, u64 addr, bool narrow)
{
	u32 n = narrow ? 4 : 8;

	m->iov = user_word(addr + 2 * n, narrow);
	m->iov_len = user_word(addr + 3 * n, narrow);
	m->control = user_word(addr + 4 * n, narrow);
	m->control_len = user_word(addr + 5 * n, narrow);
}

/* Does the call send the first data of a TCP connection that it makes itself
 * (net/ipv4/tcp.c, tcp_sendmsg_fastopen)? */
INLINE bool is_fast_open(struct scratch *s)
{
	u64 flags = s->entry.kind == KIND_SENDMSG ? s->args[2] : s->args[3];

	if (likely(!(flags & MSG_FASTOPEN)))
		return false;
	if (s->entry.kind != KIND_SENDTO && s->entry.kind != KIND_SENDMSG && s->entry.kind != KIND_SENDMMSG)
		return false;
	u64 sk = fd_sock(current_task(), s->args[0]);
	return sk && is_ip(READ(AS(struct sock, sk), __sk_common.skc_family)) &&
	       sock_protocol(AS(struct sock, sk)) == IPPROTO_TCP;
}

/* Such a call is a connect as well, told before what it sends. */
INLINE void send_connect(struct scratch *s)
{
	struct counters *c = counters_get();
	u8 flags = s->h.flags;
	s32 res = s->ret < 0 ? s->ret : 0;

	if (!c)
		return;
	BEGIN(CONNECT);
	s->h.res = res;
	call_peer(s);
	u16 family = s->peer.family;
	put_connection(s, s->args[0], res);
	s->peer.family = family;
	submit(s, LOST_CONNECT);
	c->seen++;
	s->busy = 1;
	s->h.flags = flags;
}

INLINE void recvmsg_event(struct scratch *s, struct message *m, s32 fd, bool narrow)
{
	bool many = s->entry.kind == KIND_RECVMMSG;

	begin_syscall(s, s->entry.kind, RECVMSG_SLOTS);
	read_message(m, s->args[1], narrow);
	/* The length of the first of several messages follows its header. */
	s64 n = many && s->ret > 0 ? (u32)user_word(s->args[1] + (narrow ? 28 : 56), true) : s->ret;
	u64 size = put_iov(s, many ? RECVMMSG_DATA : RECVMSG_DATA, m->iov, m->iov_len, n);
	SLOT(s, RECVMSG_RES) = s->ret;
	SLOT(s, many ? RECVMMSG_FD : RECVMSG_FD) = fd;
	SLOT(s, many ? RECVMMSG_SIZE : RECVMSG_SIZE) = many ? (u32)size : s->ret > 0 ? (u32)s->ret : 0;
	if (s->ret >= 0) {
		call_peer(s);
		put_tuple(s, many ? RECVMMSG_TUPLE : RECVMSG_TUPLE, fd, INBOUND);
		put_data(s, many ? RECVMMSG_MSGCONTROL : RECVMSG_MSGCONTROL, m->control, m->control_len);
	}
	put_fd(s, RECVMSG_FILE, fd);
}

/* The size is that of the transferred data or, on failure, the requested one. */
SEC("tp_btf/sys_exit")
int family_message(void)
{
	struct scratch *s = scratch_get();
	struct message m = {};
	bool narrow;
	s32 fd;

	if (!s)
		return 0;
	fd = s->args[0];
	narrow = s->h.flags & EVENT_COMPAT;
	if (is_fast_open(s))
		send_connect(s);
	if (socket_left_out(s, fd))
		return 0;
	switch (s->entry.kind) {
	case KIND_SEND:
	case KIND_SENDTO:
		begin_syscall(s, s->entry.kind, SENDTO_SLOTS);
		SLOT(s, SENDTO_RES) = s->ret;
		SLOT(s, SENDTO_FD) = fd;
		SLOT(s, SENDTO_SIZE) = (u32)s->args[2];
		put_data(s, SENDTO_DATA, s->args[1], s->ret >= 0 ? s->ret : (u32)s->args[2]);
		call_peer(s);
		if (s->ret >= 0)
			put_tuple(s, SENDTO_TUPLE, fd, OUTBOUND);
		put_fd(s, SENDTO_FILE, fd);
		break;
	case KIND_RECV:
	case KIND_RECVFROM: {
		bool from = s->entry.kind == KIND_RECVFROM;
		begin_syscall(s, s->entry.kind, RECVFROM_SLOTS);
		SLOT(s, RECVFROM_RES) = s->ret;
		SLOT(s, from ? RECVFROM_FD : RECV_FD) = fd;
		SLOT(s, from ? RECVFROM_SIZE : RECV_SIZE) = (u32)s->args[2];
		put_data(s, RECVFROM_DATA, s->args[1], s->ret);
		call_peer(s);
		if (s->ret >= 0)
			put_tuple(s, from ? RECVFROM_TUPLE : RECV_TUPLE, fd, INBOUND);
		put_fd(s, RECVFROM_FILE, fd);
		break;
	}
	case KIND_SENDMMSG: /* the first of the messages, like Falco's first event */
	case KIND_SENDMSG: {
		bool many = s->entry.kind == KIND_SENDMMSG;
		begin_syscall(s, s->entry.kind, SENDMSG_SLOTS);
		read_message(&m, s->args[1], narrow);
		s64 n = many ? (s64)snaplen : s->ret >= 0 ? s->ret : (s64)snaplen;
		u64 size = put_iov(s, many ? SENDMMSG_DATA : SENDMSG_DATA, m.iov, m.iov_len, n);
		SLOT(s, SENDMSG_RES) = s->ret;
		SLOT(s, many ? SENDMMSG_FD : SENDMSG_FD) = fd;
		SLOT(s, many ? SENDMMSG_SIZE : SENDMSG_SIZE) = (u32)size;
		call_peer(s);
		if (s->ret >= 0)
			put_tuple(s, SENDMSG_TUPLE, fd, OUTBOUND);
		put_fd(s, SENDMSG_FILE, fd);
		break;
	}
	case KIND_RECVMMSG:
	case KIND_RECVMSG:
		recvmsg_event(s, &m, fd, narrow);
		break;
	default:
		return wrong_family(s);
	}
	return submit(s, s->entry.category);
}
_Static_assert(SEND_SLOTS == SENDTO_SLOTS && SEND_TUPLE == SENDTO_TUPLE && SEND_FILE == SENDTO_FILE, "send");
_Static_assert(RECV_SLOTS == RECVFROM_SLOTS && RECV_DATA == RECVFROM_DATA && RECV_FILE == RECVFROM_FILE, "recv");
_Static_assert(SENDMMSG_SLOTS == SENDMSG_SLOTS && SENDMMSG_TUPLE == SENDMSG_TUPLE && SENDMMSG_FILE == SENDMSG_FILE, "sendmmsg");
_Static_assert(RECVMMSG_SLOTS == RECVMSG_SLOTS && RECVMMSG_FILE == RECVMSG_FILE, "recvmmsg");
