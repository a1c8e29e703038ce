/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that are neither files nor sockets: pipes, events, timers, rings. */
#include "payload.h"
#include "flags.h"
#include "shapes.h"

INLINE void put_pipe(struct scratch *s, struct task_struct *task, u32 slot_file)
{
	s32 fds[2] = { -1, -1 };

	if (s->ret == 0 && bpf_probe_read_user(fds, sizeof(fds), (void *)s->args[0]))
		count_fault();
	SLOT(s, PIPE_RES) = s->ret;
	SLOT(s, PIPE_FD1) = fds[0];
	SLOT(s, PIPE_FD2) = fds[1];
	if (s->ret == 0)
		SLOT(s, PIPE_INO) = file_place(fd_file(task, fds[0])).ino;
	name_fd(s, slot_file, fds[0]);
}

INLINE void put_uring_setup(struct scratch *s)
{
	/* struct io_uring_params: sq_entries, cq_entries, flags,
	 * sq_thread_cpu, sq_thread_idle, features, ... */
	u32 p[6] = {};

	NEW_FD_EVENT(IO_URING_SETUP);
	if (bpf_probe_read_user(p, sizeof(p), (void *)s->args[1]))
		count_fault();
	SLOT(s, IO_URING_SETUP_ENTRIES) = (u32)s->args[0];
	SLOT(s, IO_URING_SETUP_SQ_ENTRIES) = p[0];
	SLOT(s, IO_URING_SETUP_CQ_ENTRIES) = p[1];
	SLOT(s, IO_URING_SETUP_FLAGS) = io_uring_setup_flags(p[2]);
	SLOT(s, IO_URING_SETUP_SQ_THREAD_CPU) = p[3];
	SLOT(s, IO_URING_SETUP_SQ_THREAD_IDLE) = p[4];
	SLOT(s, IO_URING_SETUP_FEATURES) = p[5] & 0x7ff;
}

/* False for another kind. */
INLINE bool put_uring(struct scratch *s)
{
	switch (s->entry.kind) {
	case KIND_IO_URING_SETUP:
		put_uring_setup(s);
		return true;
	case KIND_IO_URING_ENTER:
		FD_EVENT(IO_URING_ENTER);
		SLOT(s, IO_URING_ENTER_TO_SUBMIT) = (u32)s->args[1];
		SLOT(s, IO_URING_ENTER_MIN_COMPLETE) = (u32)s->args[2];
		SLOT(s, IO_URING_ENTER_FLAGS) = (u32)s->args[3] & 0xf;
		return true;
	case KIND_IO_URING_REGISTER:
		FD_EVENT(IO_URING_REGISTER);
		SLOT(s, IO_URING_REGISTER_OPCODE) = (u16)s->args[1];
		SLOT(s, IO_URING_REGISTER_ARG) = s->args[2];
		SLOT(s, IO_URING_REGISTER_NR_ARGS) = (u32)s->args[3];
		return true;
	}
	return false;
}

/* Descriptors that watch or count something. False for another kind. */
INLINE bool put_notifier(struct scratch *s)
{
	switch (s->entry.kind) {
	case KIND_EVENTFD:
		NEW_FD_EVENT(EVENTFD);
		SLOT(s, EVENTFD_INITVAL) = (u32)s->args[0];
		return true;
	case KIND_EVENTFD2:
		NEW_FD_EVENT(EVENTFD2);
		SLOT(s, EVENTFD2_FLAGS) = fd_flags(s->args[1]);
		SLOT(s, EVENTFD2_INITVAL) = (u32)s->args[0];
		return true;
	case KIND_SIGNALFD:
		NEW_FD_EVENT(SIGNALFD);
		SLOT(s, SIGNALFD_FD) = (s32)s->args[0];
		return true; /* mask and flags stay 0, as in Falco */
	case KIND_SIGNALFD4:
		NEW_FD_EVENT(SIGNALFD4);
		SLOT(s, SIGNALFD4_FLAGS) = fd_flags(s->args[3]);
		SLOT(s, SIGNALFD4_FD) = (s32)s->args[0];
		return true;
	case KIND_TIMERFD_CREATE:
		NEW_FD_EVENT(TIMERFD_CREATE); /* flags stay 0, as in Falco */
		SLOT(s, TIMERFD_CREATE_CLOCKID) = (u8)s->args[0];
		return true;
	case KIND_INOTIFY_INIT:
		NEW_FD_EVENT(INOTIFY_INIT);
		return true;
	case KIND_INOTIFY_INIT1:
		NEW_FD_EVENT(INOTIFY_INIT1);
		SLOT(s, INOTIFY_INIT1_FLAGS) = fd_flags(s->args[0]);
		return true;
	case KIND_EPOLL_CREATE:
		NEW_FD_EVENT(EPOLL_CREATE);
		SLOT(s, EPOLL_CREATE_SIZE) = (s32)s->args[0];
		return true;
	case KIND_EPOLL_CREATE1:
		NEW_FD_EVENT(EPOLL_CREATE1);
		SLOT(s, EPOLL_CREATE1_FLAGS) = s->args[0] & 02000000 ? 1 : 0;
		return true;
	case KIND_USERFAULTFD:
		NEW_FD_EVENT(USERFAULTFD);
		SLOT(s, USERFAULTFD_FLAGS) = fd_flags(s->args[0]);
		return true;
	}
	return false;
}

SEC("tp_btf/sys_exit")
int family_anon(void)
{
	struct scratch *s = scratch_get();
	struct task_struct *task = current_task();

	if (!s)
		return 0;
	switch (s->entry.kind) {
	case KIND_PIPE:
		BEGIN(PIPE);
		put_pipe(s, task, PIPE_FILE);
		break;
	case KIND_PIPE2:
		BEGIN(PIPE2);
		put_pipe(s, task, PIPE2_FILE);
		SLOT(s, PIPE2_FLAGS) = fd_flags(s->args[1]);
		break;
	case KIND_MEMFD_CREATE:
		NEW_FD_EVENT(MEMFD_CREATE);
		put_user_str(s, MEMFD_CREATE_NAME, s->args[0]);
		SLOT(s, MEMFD_CREATE_FLAGS) = (u32)s->args[1];
		break;
	case KIND_PIDFD_OPEN:
		NEW_FD_EVENT(PIDFD_OPEN);
		SLOT(s, PIDFD_OPEN_PID) = (s32)s->args[0];
		SLOT(s, PIDFD_OPEN_FLAGS) = s->args[1] & 04000 ? 1 : 0;
		break;
	case KIND_PIDFD_GETFD:
		NEW_FD_EVENT(PIDFD_GETFD);
		SLOT(s, PIDFD_GETFD_PID_FD) = (s32)s->args[0];
		SLOT(s, PIDFD_GETFD_TARGET_FD) = (s32)s->args[1];
		SLOT(s, PIDFD_GETFD_FLAGS) = (u32)s->args[2];
		break;
	case KIND_BPF:
		/* The result is a descriptor for some of the commands. */
		BEGIN(BPF);
		SLOT(s, BPF_FD) = s->ret;
		SLOT(s, BPF_CMD) = (u32)s->args[0];
		if (s->ret > 0)
			name_fd(s, BPF_FILE, s->ret);
		break;
	default:
		if (!put_notifier(s) && !put_uring(s))
			return wrong_family(s);
	}
	return finish(s);
}
