/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors: closing, copying, reading, writing. */
#include "payload.h"
#include "arch.h"
#include "flags.h"
#include "shapes.h"

/* The first of the two arguments that a 32-bit task's position takes in pread64
 * and pwrite64: ARM begins pairs at an even register, and pads
 * (arch/arm64/kernel/sys32.c). preadv and pwritev take two words everywhere. */
#if defined(__TARGET_ARCH_arm64)
#define PREAD_POS32 4
#else
#define PREAD_POS32 3
#endif

INLINE u64 position(struct scratch *s, u32 narrow)
{
	return s->h.flags & EVENT_COMPAT ? s->args[narrow] | s->args[narrow + 1] << 32 : s->args[3];
}

#define CLOSING_MAX 512 /* of what a descriptor is, its path included */

/* What descriptors are that are being closed, by thread: afterwards they are
 * gone. */
struct closing {
	u32 len;
	char file[CLOSING_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct closing);
} closings SEC(".maps");

/* A look before the call; attached only while a rule asks for it. */
SEC("tp_btf/sys_enter")
int before_close(u64 *ctx)
{
	struct pt_regs *regs = (void *)ctx[0];
	u32 nr = ctx[1];
	struct task_struct *task = current_task();
	bool narrow = is_compat(task);

	if (nr >= SYSCALLS)
		return 0;
	union entry e = narrow ? interest.syscalls[nr].compat : interest.syscalls[nr].native;
	struct scratch *s = scratch_get();
	if (!e.all || e.kind != KIND_CLOSE || !s || s->busy)
		return 0;
	read_args(s, regs, narrow);
	s->peer.family = 0;
	s->role = s->direction = 0;
	slots_clear(s, CLOSE_SLOTS);
	put_fd(s, CLOSE_FILE, s->args[0]);
	u32 n = SLOT(s, CLOSE_FILE) >> 32, tid = READ(task, pid);
	struct closing *to = (struct closing *)&s->buf[HEADER_SIZE + 8 * CLOSE_SLOTS - sizeof(u32)]; /* over the last slot */
	if (!n)
		return 0;
	to->len = n > CLOSING_MAX ? CLOSING_MAX : n;
	bpf_map_update_elem(&closings, &tid, to, 0);
	return 0;
}

INLINE void put_closed(struct scratch *s)
{
	u32 tid = s->h.tid;
	struct closing *c = bpf_map_lookup_elem(&closings, &tid);

	if (!c)
		return;
	u32 n = c->len;
	bpf_probe_read_kernel(tail(s), BOUND(n, 1023), c->file);
	tail_commit(s, CLOSE_FILE, n);
	bpf_map_delete_elem(&closings, &tid);
}

/* Reading and writing with a buffer or a vector. False for another kind. */
INLINE bool put_transfer(struct scratch *s)
{
	switch (s->entry.kind) {
	case KIND_READ:
	case KIND_WRITE:
		begin_syscall(s, s->entry.kind, READ_SLOTS);
		SLOT(s, READ_RES) = s->ret;
		SLOT(s, READ_FD) = (s32)s->args[0];
		SLOT(s, READ_SIZE) = (u32)s->args[2];
		put_data(s, READ_DATA, s->args[1],
			 s->ret >= 0 || s->entry.kind == KIND_READ ? s->ret : (u32)s->args[2]);
		name_fd(s, READ_FILE, s->args[0]);
		return true;
	case KIND_PREAD:
	case KIND_PWRITE:
		begin_syscall(s, s->entry.kind, PREAD_SLOTS);
		SLOT(s, PREAD_RES) = s->ret;
		SLOT(s, PREAD_FD) = (s32)s->args[0];
		SLOT(s, PREAD_SIZE) = (u32)s->args[2];
		SLOT(s, PREAD_POS) = position(s, PREAD_POS32);
		put_data(s, PREAD_DATA, s->args[1],
			 s->ret >= 0 || s->entry.kind == KIND_PREAD ? s->ret : (u32)s->args[2]);
		name_fd(s, PREAD_FILE, s->args[0]);
		return true;
	case KIND_READV:
		BEGIN(READV);
		SLOT(s, READV_RES) = s->ret;
		SLOT(s, READV_FD) = (s32)s->args[0];
		SLOT(s, READV_SIZE) = (u32)put_iov(s, READV_DATA, s->args[1], s->args[2], s->ret);
		name_fd(s, READV_FILE, s->args[0]);
		return true;
	case KIND_WRITEV:
		BEGIN(WRITEV);
		SLOT(s, WRITEV_RES) = s->ret;
		SLOT(s, WRITEV_FD) = (s32)s->args[0];
		SLOT(s, WRITEV_SIZE) = (u32)put_iov(s, WRITEV_DATA, s->args[1], s->args[2], s->ret >= 0 ? s->ret : PART_MAX);
		name_fd(s, WRITEV_FILE, s->args[0]);
		return true;
	case KIND_PREADV:
		BEGIN(PREADV);
		SLOT(s, PREADV_RES) = s->ret;
		SLOT(s, PREADV_FD) = (s32)s->args[0];
		SLOT(s, PREADV_SIZE) = (u32)put_iov(s, PREADV_DATA, s->args[1], s->args[2], s->ret);
		SLOT(s, PREADV_POS) = position(s, 3);
		name_fd(s, PREADV_FILE, s->args[0]);
		return true;
	case KIND_PWRITEV:
		BEGIN(PWRITEV);
		SLOT(s, PWRITEV_RES) = s->ret;
		SLOT(s, PWRITEV_FD) = (s32)s->args[0];
		SLOT(s, PWRITEV_SIZE) = (u32)put_iov(s, PWRITEV_DATA, s->args[1], s->args[2], s->ret >= 0 ? s->ret : PART_MAX);
		SLOT(s, PWRITEV_POS) = position(s, 3);
		name_fd(s, PWRITEV_FILE, s->args[0]);
		return true;
	}
	return false;
}

INLINE void put_dup(struct scratch *s)
{
	bool to = s->entry.kind != KIND_DUP;
	u32 slots = s->entry.kind == KIND_DUP ? DUP_SLOTS : s->entry.kind == KIND_DUP2 ? DUP2_SLOTS : DUP3_SLOTS;
	begin_syscall(s, s->entry.kind, DUP3_SLOTS);
	s->h.num_slots = slots;
	s->len = HEADER_SIZE + 8 * slots;
	SLOT(s, DUP_RES) = s->ret;
	SLOT(s, DUP_OLDFD) = (s32)s->args[0];
	if (to)
		SLOT(s, DUP2_NEWFD) = (s32)s->args[1];
	if (s->entry.kind == KIND_DUP3)
		SLOT(s, DUP3_FLAGS) = fd_flags(s->args[2]);
	name_fd(s, slots - 1, s->ret);
}

INLINE void put_sendfile(struct scratch *s)
{
	u64 offset = 0;
	BEGIN(SENDFILE);
	if (s->args[2])
		bpf_probe_read_user(&offset, s->h.flags & EVENT_COMPAT ? 4 : 8, (void *)s->args[2]);
	SLOT(s, SENDFILE_RES) = s->ret;
	SLOT(s, SENDFILE_OFFSET) = offset;
	SLOT(s, SENDFILE_OUT_FD) = (s32)s->args[0];
	SLOT(s, SENDFILE_IN_FD) = (s32)s->args[1];
	SLOT(s, SENDFILE_SIZE) = s->args[3];
	name_fd(s, SENDFILE_FILE, s->args[0]);
}

INLINE void put_copy_file_range(struct scratch *s)
{
	u64 in = 0, out = 0;
	BEGIN(COPY_FILE_RANGE);
	if (s->args[1])
		bpf_probe_read_user(&in, 8, (void *)s->args[1]);
	if (s->args[3])
		bpf_probe_read_user(&out, 8, (void *)s->args[3]);
	SLOT(s, COPY_FILE_RANGE_RES) = s->ret;
	SLOT(s, COPY_FILE_RANGE_FDIN) = (s32)s->args[0];
	SLOT(s, COPY_FILE_RANGE_OFFIN) = in;
	SLOT(s, COPY_FILE_RANGE_FDOUT) = (s32)s->args[2];
	SLOT(s, COPY_FILE_RANGE_OFFOUT) = out;
	SLOT(s, COPY_FILE_RANGE_LEN) = s->args[4];
	name_fd(s, COPY_FILE_RANGE_FILE, s->args[2]);
}

SEC("tp_btf/sys_exit")
int family_io(void)
{
	struct scratch *s = scratch_get();

	if (!s)
		return 0;
	switch (s->entry.kind) {
	case KIND_CLOSE:
		BEGIN(CLOSE);
		SLOT(s, CLOSE_RES) = s->ret;
		SLOT(s, CLOSE_FD) = (s32)s->args[0];
		put_closed(s);
		break;
	case KIND_LSEEK:
		FD_EVENT(LSEEK);
		SLOT(s, LSEEK_OFFSET) = s->args[1];
		SLOT(s, LSEEK_WHENCE) = (u8)s->args[2];
		break;
	case KIND_FCNTL:
		FD_EVENT(FCNTL);
		SLOT(s, FCNTL_CMD) = fcntl_cmd(s->args[1]);
		SLOT(s, FCNTL_ARG) = s->args[2];
		break;
	case KIND_IOCTL:
		FD_EVENT(IOCTL);
		SLOT(s, IOCTL_REQUEST) = (u32)s->args[1];
		SLOT(s, IOCTL_ARGUMENT) = s->args[2];
		break;
	case KIND_FLOCK:
		FD_EVENT(FLOCK);
		SLOT(s, FLOCK_OPERATION) = (u32)s->args[1];
		break;
	case KIND_GETDENTS:
		FD_EVENT(GETDENTS);
		break;
	case KIND_GETDENTS64:
		FD_EVENT(GETDENTS64);
		break;
	case KIND_DUP:
	case KIND_DUP2:
	case KIND_DUP3:
		put_dup(s);
		break;
	case KIND_CLOSE_RANGE:
		BEGIN(CLOSE_RANGE);
		SLOT(s, CLOSE_RANGE_RES) = s->ret;
		SLOT(s, CLOSE_RANGE_FIRST) = (u32)s->args[0];
		SLOT(s, CLOSE_RANGE_LAST) = (u32)s->args[1];
		SLOT(s, CLOSE_RANGE_FLAGS) = (u32)s->args[2];
		break;
	case KIND_SPLICE:
		BEGIN(SPLICE);
		SLOT(s, SPLICE_RES) = s->ret;
		SLOT(s, SPLICE_FD_IN) = (s32)s->args[0];
		SLOT(s, SPLICE_FD_OUT) = (s32)s->args[2];
		SLOT(s, SPLICE_SIZE) = s->args[4];
		SLOT(s, SPLICE_FLAGS) = (u32)s->args[5];
		name_fd(s, SPLICE_FILE, s->args[0]);
		break;
	case KIND_SENDFILE:
		put_sendfile(s);
		break;
	case KIND_COPY_FILE_RANGE:
		put_copy_file_range(s);
		break;
	default:
		if (!put_transfer(s))
			return wrong_family(s);
	}
	return finish(s);
}
_Static_assert(WRITE_SLOTS == READ_SLOTS && WRITE_SIZE == READ_SIZE && WRITE_FILE == READ_FILE, "write");
_Static_assert(PWRITE_SLOTS == PREAD_SLOTS && PWRITE_POS == PREAD_POS && PWRITE_FILE == PREAD_FILE, "pwrite");
_Static_assert(DUP_FILE == DUP_SLOTS - 1 && DUP2_FILE == DUP2_SLOTS - 1 && DUP3_FILE == DUP3_SLOTS - 1, "dup");
_Static_assert(DUP2_NEWFD == DUP3_NEWFD && DUP2_OLDFD == DUP_OLDFD && DUP3_OLDFD == DUP_OLDFD, "dup");
