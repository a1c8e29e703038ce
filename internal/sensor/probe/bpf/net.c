/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets: making, naming, connecting, sending and receiving. */
#include "data.h"
#include "file.h"
#include "flags.h"

#define EINPROGRESS 115

/* The sock behind a descriptor, 0 if that is not a socket. */
INLINE u64 fd_sock(struct task_struct *task, s32 fd)
{
	u64 file = fd_file(task, fd);
	if (!file)
		return 0;
	struct inode *inode = READ(AS(struct file, file), f_inode);
	if ((READ(inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	u64 socket = LOAD64(file + FIELD_OFFSET(struct file, private_data));
	return socket ? LOAD64(socket + FIELD_OFFSET(struct socket, sk)) : 0;
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

enum direction { OUTBOUND, INBOUND };

/* A SockTuple: source, then destination, of what is sent or received. */
FUNC int put_tuple(struct scratch *s, u32 slot, s32 fd, u32 direction)
{
	u64 addr = fd_sock(current_task(), fd);

	if (!s || !addr || tail_full(s))
		return 0;
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
		u32 n = 1 + unix_name(s, s->len + 1, from);
		s->buf[(s->len + n) & BODY_MASK] = 0;
		n++;
		if (direction == OUTBOUND && !remote && s->peer.family == AF_UNIX)
			n += peer_path(s, s->len + n);
		else
			n += unix_name(s, s->len + n, to);
		tail_commit(s, slot, n);
	}
	return 0;
}

/* struct user_msghdr, with 4 or 8 bytes a word. */
struct message {
	u64 name, name_len, iov, iov_len, control, control_len;
};

INLINE void read_message(struct message *m, u64 addr, bool narrow)
{
	u32 n = narrow ? 4 : 8;

	m->name = user_word(addr, narrow);
	m->name_len = (u32)user_word(addr + n, narrow);
	m->iov = user_word(addr + 2 * n, narrow);
	m->iov_len = user_word(addr + 3 * n, narrow);
	m->control = user_word(addr + 4 * n, narrow);
	m->control_len = user_word(addr + 5 * n, narrow);
}

/* The value of a socket option, as Falco reads it: numbers for the options of
 * SOL_SOCKET that it knows, bytes for the rest. */
/* The option and its length are arguments of the syscall, or behind them. */
FUNC int put_sockopt(struct scratch *s, u32 slot, u32 len)
{
	u64 v[2] = {};

	if (!s)
		return 0;
	u32 level = s->args[1], name = s->args[2];
	u64 addr = s->args[3];

	if (level == 1 /* SOL_SOCKET */) {
		switch (name) {
		case 4: /* SO_ERROR */
			bpf_probe_read_user(v, 4, (void *)addr);
			put_dyn(s, slot, TYPE_ERRNO, -(s64)(s32)v[0]);
			return 0;
		case 20: /* SO_RCVTIMEO */
		case 21: /* SO_SNDTIMEO */
			if (s->h.flags & EVENT_COMPAT) {
				u32 w[2] = {};
				bpf_probe_read_user(w, 8, (void *)addr);
				v[0] = w[0];
				v[1] = w[1];
			} else {
				bpf_probe_read_user(v, 16, (void *)addr);
			}
			put_dyn(s, slot, TYPE_RELTIME, v[0] * 1000000000 + v[1] * 1000);
			return 0;
		case 57: /* SO_COOKIE */
			bpf_probe_read_user(v, 8, (void *)addr);
			put_dyn(s, slot, TYPE_UINT64, v[0]);
			return 0;
		case 1 ... 3:
		case 5 ... 12:
		case 15 ... 16:
		case 18 ... 19:
		case 29 ... 30:
		case 32 ... 46:
			bpf_probe_read_user(v, 4, (void *)addr);
			put_dyn(s, slot, TYPE_UINT32, v[0]);
			return 0;
		}
	}
	char *at = tail(s);
	if (tail_full(s))
		return 0;
	*at = TYPE_BYTES;
	if (len > snaplen)
		len = snaplen;
	if (len && bpf_probe_read_user(at + 1, BOUND(len, 4095), (void *)addr)) {
		count_fault();
		return 0;
	}
	tail_commit(s, slot, 1 + (len & 4095));
	return 0;
}

INLINE void put_accept(struct scratch *s, struct task_struct *task, u32 slot_file)
{
	SLOT(s, ACCEPT_FD) = s->ret;
	s->role = FILE_SERVER;
	if (s->ret < 0)
		return;
	u64 addr = fd_sock(task, s->args[0]);
	if (addr) {
		struct sock *listener = AS(struct sock, addr);
		u32 len = READ(listener, sk_ack_backlog), max = READ(listener, sk_max_ack_backlog);
		SLOT(s, ACCEPT_QUEUELEN) = len;
		SLOT(s, ACCEPT_QUEUEMAX) = max;
		SLOT(s, ACCEPT_QUEUEPCT) = max ? (u64)len * 100 / max : 0;
	}
	put_tuple(s, ACCEPT_TUPLE, s->ret, INBOUND);
	put_fd(s, slot_file, s->ret);
}
_Static_assert(ACCEPT_TUPLE == ACCEPT4_TUPLE && ACCEPT_QUEUEMAX == ACCEPT4_QUEUEMAX, "accept4 is accept with flags");

SEC("tp_btf/sys_exit")
int family_net(u64 *ctx)
{
	struct scratch *s = scratch_get();
	struct task_struct *task = current_task();
	s32 fd;

	if (!s)
		return 0;
	fd = s->args[0];
	switch (s->entry.kind) {
	case KIND_SOCKET:
		begin_syscall(s, KIND_SOCKET, SOCKET_SLOTS);
		SLOT(s, SOCKET_FD) = s->ret;
		SLOT(s, SOCKET_DOMAIN) = (u32)s->args[0];
		SLOT(s, SOCKET_TYPE) = (u32)s->args[1];
		SLOT(s, SOCKET_PROTO) = (u32)s->args[2];
		SLOT(s, SOCKET_FLAGS) = fd_flags(s->args[1]);
		put_fd(s, SOCKET_FILE, s->ret);
		break;
	case KIND_BIND:
		begin_syscall(s, KIND_BIND, BIND_SLOTS);
		SLOT(s, BIND_RES) = s->ret;
		SLOT(s, BIND_FD) = fd;
		read_peer(s, s->args[1], s->args[2]);
		put_peer(s, BIND_ADDR);
		s->peer.family = 0;
		put_fd(s, BIND_FILE, fd);
		break;
	case KIND_CONNECT:
		begin_syscall(s, KIND_CONNECT, CONNECT_SLOTS);
		SLOT(s, CONNECT_RES) = s->ret;
		SLOT(s, CONNECT_FD) = fd;
		read_peer(s, s->args[1], s->args[2]);
		put_peer(s, CONNECT_ADDR);
		if (s->ret == 0 || s->ret == -EINPROGRESS) {
			s->role = FILE_CLIENT;
			put_tuple(s, CONNECT_TUPLE, fd, OUTBOUND);
		} else {
			s->peer.family = 0; /* refused: the socket keeps its old name */
		}
		put_fd(s, CONNECT_FILE, fd);
		break;
	case KIND_LISTEN:
		begin_syscall(s, KIND_LISTEN, LISTEN_SLOTS);
		SLOT(s, LISTEN_RES) = s->ret;
		SLOT(s, LISTEN_FD) = fd;
		SLOT(s, LISTEN_BACKLOG) = (s32)s->args[1];
		put_fd(s, LISTEN_FILE, fd);
		break;
	case KIND_ACCEPT:
		begin_syscall(s, KIND_ACCEPT, ACCEPT_SLOTS);
		put_accept(s, task, ACCEPT_FILE);
		break;
	case KIND_ACCEPT4:
		begin_syscall(s, KIND_ACCEPT4, ACCEPT4_SLOTS);
		/* flags stays 0, as in Falco */
		put_accept(s, task, ACCEPT4_FILE);
		break;
	case KIND_SHUTDOWN:
		begin_syscall(s, KIND_SHUTDOWN, SHUTDOWN_SLOTS);
		SLOT(s, SHUTDOWN_RES) = s->ret;
		SLOT(s, SHUTDOWN_FD) = fd;
		SLOT(s, SHUTDOWN_HOW) = (u8)s->args[1];
		put_fd(s, SHUTDOWN_FILE, fd);
		break;
	case KIND_SOCKETPAIR: {
		s32 fds[2] = { -1, -1 };
		begin_syscall(s, KIND_SOCKETPAIR, SOCKETPAIR_SLOTS);
		if (s->ret == 0 && bpf_probe_read_user(fds, sizeof(fds), (void *)s->args[3]))
			count_fault();
		SLOT(s, SOCKETPAIR_RES) = s->ret;
		SLOT(s, SOCKETPAIR_FD1) = fds[0];
		SLOT(s, SOCKETPAIR_FD2) = fds[1];
		/* Falco sends the kernel's addresses; inode numbers serve as well and
		 * give nothing away. */
		SLOT(s, SOCKETPAIR_SOURCE) = s->ret == 0 ? file_place(fd_file(task, fds[0])).ino : 0;
		SLOT(s, SOCKETPAIR_PEER) = s->ret == 0 ? file_place(fd_file(task, fds[1])).ino : 0;
		SLOT(s, SOCKETPAIR_DOMAIN) = (u32)s->args[0];
		SLOT(s, SOCKETPAIR_TYPE) = (u32)s->args[1];
		SLOT(s, SOCKETPAIR_PROTO) = (u32)s->args[2];
		put_fd(s, SOCKETPAIR_FILE, fds[0]);
		break;
	}
	case KIND_SETSOCKOPT:
		begin_syscall(s, KIND_SETSOCKOPT, SETSOCKOPT_SLOTS);
		SLOT(s, SETSOCKOPT_RES) = s->ret;
		SLOT(s, SETSOCKOPT_FD) = fd;
		SLOT(s, SETSOCKOPT_LEVEL) = sockopt_level(s->args[1]);
		SLOT(s, SETSOCKOPT_OPTNAME) = sockopt_name(s->args[1], s->args[2]);
		put_sockopt(s, SETSOCKOPT_VAL, s->args[4]);
		SLOT(s, SETSOCKOPT_OPTLEN) = (u32)s->args[4];
		put_fd(s, SETSOCKOPT_FILE, fd);
		break;
	case KIND_GETSOCKOPT: {
		u32 len = 0;
		begin_syscall(s, KIND_GETSOCKOPT, GETSOCKOPT_SLOTS);
		bpf_probe_read_user(&len, sizeof(len), (void *)s->args[4]);
		SLOT(s, GETSOCKOPT_RES) = s->ret;
		SLOT(s, GETSOCKOPT_FD) = fd;
		SLOT(s, GETSOCKOPT_LEVEL) = sockopt_level(s->args[1]);
		SLOT(s, GETSOCKOPT_OPTNAME) = sockopt_name(s->args[1], s->args[2]);
		put_sockopt(s, GETSOCKOPT_VAL, len);
		SLOT(s, GETSOCKOPT_OPTLEN) = len;
		put_fd(s, GETSOCKOPT_FILE, fd);
		break;
	}
	case KIND_GETSOCKNAME:
	case KIND_GETPEERNAME:
		begin_syscall(s, s->entry.kind, 0);
		break;
	}
	return submit(s, s->entry.category);
}

/* Data that goes in or out: on success what was moved, else what was asked. */
SEC("tp_btf/sys_exit")
int family_message(u64 *ctx)
{
	struct scratch *s = scratch_get();
	struct message m = {};
	bool narrow;
	s32 fd;

	if (!s)
		return 0;
	fd = s->args[0];
	narrow = s->h.flags & EVENT_COMPAT;
	switch (s->entry.kind) {
	case KIND_SEND:
	case KIND_SENDTO:
		begin_syscall(s, s->entry.kind, SENDTO_SLOTS);
		SLOT(s, SENDTO_RES) = s->ret;
		SLOT(s, SENDTO_FD) = fd;
		SLOT(s, SENDTO_SIZE) = (u32)s->args[2];
		put_data(s, SENDTO_DATA, s->args[1], s->ret >= 0 ? s->ret : (u32)s->args[2]);
		if (s->entry.kind == KIND_SENDTO)
			read_peer(s, s->args[4], s->args[5]);
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
		if (from && s->args[4] && s->args[5] && s->ret >= 0)
			read_peer(s, s->args[4], (u32)user_word(s->args[5], true));
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
		read_peer(s, m.name, m.name_len);
		if (s->ret >= 0)
			put_tuple(s, SENDMSG_TUPLE, fd, OUTBOUND);
		put_fd(s, SENDMSG_FILE, fd);
		break;
	}
	case KIND_RECVMMSG:
	case KIND_RECVMSG: {
		bool many = s->entry.kind == KIND_RECVMMSG;
		begin_syscall(s, s->entry.kind, RECVMSG_SLOTS);
		read_message(&m, s->args[1], narrow);
		/* The length of the first of several messages follows its header. */
		s64 n = many && s->ret > 0 ? (u32)user_word(s->args[1] + (narrow ? 28 : 56), true) : s->ret;
		u64 size = put_iov(s, many ? RECVMMSG_DATA : RECVMSG_DATA, m.iov, m.iov_len, n);
		SLOT(s, RECVMSG_RES) = s->ret;
		SLOT(s, many ? RECVMMSG_FD : RECVMSG_FD) = fd;
		SLOT(s, many ? RECVMMSG_SIZE : RECVMSG_SIZE) = (u32)size;
		if (s->ret >= 0) {
			read_peer(s, m.name, m.name_len);
			put_tuple(s, many ? RECVMMSG_TUPLE : RECVMSG_TUPLE, fd, INBOUND);
			put_data(s, many ? RECVMMSG_MSGCONTROL : RECVMSG_MSGCONTROL, m.control, m.control_len);
		}
		put_fd(s, RECVMSG_FILE, fd);
		break;
	}
	}
	return submit(s, CAT_OTHER);
}
_Static_assert(SEND_SLOTS == SENDTO_SLOTS && SEND_TUPLE == SENDTO_TUPLE && SEND_FILE == SENDTO_FILE, "send");
_Static_assert(RECV_SLOTS == RECVFROM_SLOTS && RECV_DATA == RECVFROM_DATA && RECV_FILE == RECVFROM_FILE, "recv");
_Static_assert(SENDMMSG_SLOTS == SENDMSG_SLOTS && SENDMMSG_TUPLE == SENDMSG_TUPLE && SENDMMSG_FILE == SENDMSG_FILE, "sendmmsg");
_Static_assert(RECVMMSG_SLOTS == RECVMSG_SLOTS && RECVMMSG_FILE == RECVMSG_FILE, "recvmmsg");
