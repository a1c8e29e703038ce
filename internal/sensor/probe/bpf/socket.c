/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets: making, naming, connecting, options. */
#include "flags.h"
#include "payload.h"
#include "socketfilter.h"
#include "submit.h"

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

INLINE void put_connect(struct scratch *s)
{
	s32 fd = s->args[0];

	BEGIN(CONNECT);
	call_peer(s);
	put_connection(s, fd, s->ret);
}

INLINE void put_socketpair(struct scratch *s)
{
	s32 fds[2] = { -1, -1 };

	BEGIN(SOCKETPAIR);
	if (s->ret == 0 && bpf_probe_read_user(fds, sizeof(fds), (void *)s->args[3]))
		count_fault();
	SLOT(s, SOCKETPAIR_RES) = s->ret;
	SLOT(s, SOCKETPAIR_FD1) = fds[0];
	SLOT(s, SOCKETPAIR_FD2) = fds[1];
	/* Falco sends the kernel's addresses; inode numbers serve as well and
	 * give nothing away. */
	SLOT(s, SOCKETPAIR_SOURCE) = s->ret == 0 ? file_place(fd_file(current_task(), fds[0])).ino : 0;
	SLOT(s, SOCKETPAIR_PEER) = s->ret == 0 ? file_place(fd_file(current_task(), fds[1])).ino : 0;
	SLOT(s, SOCKETPAIR_DOMAIN) = (u32)s->args[0];
	SLOT(s, SOCKETPAIR_TYPE) = (u32)s->args[1];
	SLOT(s, SOCKETPAIR_PROTO) = (u32)s->args[2];
	put_fd(s, SOCKETPAIR_FILE, fds[0]);
}

INLINE void put_setsockopt(struct scratch *s)
{
	s32 fd = s->args[0];

	BEGIN(SETSOCKOPT);
	SLOT(s, SETSOCKOPT_RES) = s->ret;
	SLOT(s, SETSOCKOPT_FD) = fd;
	SLOT(s, SETSOCKOPT_LEVEL) = sockopt_level(s->args[1]);
	SLOT(s, SETSOCKOPT_OPTNAME) = sockopt_name(s->args[1], s->args[2]);
	put_sockopt(s, SETSOCKOPT_VAL, s->args[4]);
	SLOT(s, SETSOCKOPT_OPTLEN) = (u32)s->args[4];
	put_fd(s, SETSOCKOPT_FILE, fd);
}

INLINE void put_getsockopt(struct scratch *s)
{
	s32 fd = s->args[0];
	u32 len = 0;

	BEGIN(GETSOCKOPT);
	bpf_probe_read_user(&len, sizeof(len), (void *)s->args[4]);
	SLOT(s, GETSOCKOPT_RES) = s->ret;
	SLOT(s, GETSOCKOPT_FD) = fd;
	SLOT(s, GETSOCKOPT_LEVEL) = sockopt_level(s->args[1]);
	SLOT(s, GETSOCKOPT_OPTNAME) = sockopt_name(s->args[1], s->args[2]);
	put_sockopt(s, GETSOCKOPT_VAL, len);
	SLOT(s, GETSOCKOPT_OPTLEN) = len;
	put_fd(s, GETSOCKOPT_FILE, fd);
}

SEC("tp_btf/sys_exit")
int family_socket(void)
{
	struct scratch *s = scratch_get();
	struct task_struct *task = current_task();
	s32 fd;

	if (!s)
		return 0;
	fd = s->args[0];
	if (socket_left_out(s, s->entry.kind == KIND_ACCEPT || s->entry.kind == KIND_ACCEPT4 ? s->ret : fd))
		return 0;
	switch (s->entry.kind) {
	case KIND_SOCKET:
		BEGIN(SOCKET);
		SLOT(s, SOCKET_FD) = s->ret;
		SLOT(s, SOCKET_DOMAIN) = (u32)s->args[0];
		SLOT(s, SOCKET_TYPE) = (u32)s->args[1];
		SLOT(s, SOCKET_PROTO) = (u32)s->args[2];
		SLOT(s, SOCKET_FLAGS) = fd_flags(s->args[1]);
		put_fd(s, SOCKET_FILE, s->ret);
		break;
	case KIND_BIND:
		BEGIN(BIND);
		SLOT(s, BIND_RES) = s->ret;
		SLOT(s, BIND_FD) = fd;
		read_peer(s, s->args[1], s->args[2]);
		put_peer(s, BIND_ADDR);
		s->peer.family = 0;
		put_fd(s, BIND_FILE, fd);
		break;
	case KIND_CONNECT:
		put_connect(s);
		break;
	case KIND_LISTEN:
		BEGIN(LISTEN);
		SLOT(s, LISTEN_RES) = s->ret;
		SLOT(s, LISTEN_FD) = fd;
		SLOT(s, LISTEN_BACKLOG) = (s32)s->args[1];
		put_fd(s, LISTEN_FILE, fd);
		break;
	case KIND_ACCEPT:
		BEGIN(ACCEPT);
		put_accept(s, task, ACCEPT_FILE);
		break;
	case KIND_ACCEPT4:
		BEGIN(ACCEPT4);
		SLOT(s, ACCEPT4_FLAGS) = (s32)s->args[3];
		put_accept(s, task, ACCEPT4_FILE);
		break;
	case KIND_SHUTDOWN:
		BEGIN(SHUTDOWN);
		SLOT(s, SHUTDOWN_RES) = s->ret;
		SLOT(s, SHUTDOWN_FD) = fd;
		SLOT(s, SHUTDOWN_HOW) = (u8)s->args[1];
		put_fd(s, SHUTDOWN_FILE, fd);
		break;
	case KIND_SOCKETPAIR:
		put_socketpair(s);
		break;
	case KIND_SETSOCKOPT:
		put_setsockopt(s);
		break;
	case KIND_GETSOCKOPT:
		put_getsockopt(s);
		break;
	case KIND_GETSOCKNAME:
	case KIND_GETPEERNAME:
		begin_syscall(s, s->entry.kind, 0);
		break;
	default:
		return wrong_family(s);
	}
	return submit(s, s->entry.category);
}
