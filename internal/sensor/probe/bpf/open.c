/* SPDX-License-Identifier: Apache-2.0 */
/* Syscalls that open a file by name or handle. */
#include "file.h"
#include "filter.h"
#include "flags.h"
#include "submit.h"

/* The path of an open: what the filter has read, or else from the task. */
INLINE void put_given(struct scratch *s, u32 slot, u64 addr)
{
	u32 n = s->given_len;

	if (!n) {
		put_user_str(s, slot, addr);
		return;
	}
	u64 *to = (u64 *)tail(s); /* aligned: the first part behind the slots */
	for (u32 i = 0; i < (FILTER_PATH + 1) / 8; i++) {
		if (8 * i >= n)
			break;
		to[i] = s->given[i];
	}
	tail_commit(s, slot, (n - 1) & FILTER_PATH);
}

INLINE u32 layer_flags(const struct place *p)
{
	return (p->layer & FILE_UPPER_LAYER ? OPEN_UPPER : 0) | (p->layer & FILE_LOWER_LAYER ? OPEN_LOWER : 0) |
	       (p->created ? OPEN_CREATED : 0);
}

/* What was opened; its path is left out where it is the one given. */
INLINE void put_opened(struct scratch *s, u32 slot, u64 file, u32 name_slot)
{
	u64 name = SLOT(s, name_slot);

	put_file_known(s, slot, file, name && file_is_at(s, file, name, name >> 32));
}

INLINE void put_openat2(struct scratch *s, u64 file, const struct place *place)
{
	u64 *how = s->how;

	if (!s->how_read && bpf_probe_read_user(how, sizeof(s->how), (void *)s->args[2])) {
		how[0] = how[1] = how[2] = 0;
		count_fault();
	}
	BEGIN(OPENAT2);
	SLOT(s, OPENAT2_FD) = s->ret;
	SLOT(s, OPENAT2_DIRFD) = (s32)s->args[0];
	put_given(s, OPENAT2_NAME, s->args[1]);
	SLOT(s, OPENAT2_FLAGS) = open_flags(how[0]) | layer_flags(place);
	SLOT(s, OPENAT2_MODE) = open_mode(how[0], how[1]);
	SLOT(s, OPENAT2_RESOLVE) = resolve_flags(how[2]);
	SLOT(s, OPENAT2_DEV) = place->dev;
	SLOT(s, OPENAT2_INO) = place->ino;
	put_base(s, OPENAT2_BASE, OPENAT2_NAME, s->args[0]);
	put_opened(s, OPENAT2_FILE, file, OPENAT2_NAME);
}

INLINE void put_creat(struct scratch *s, u64 file, const struct place *place)
{
	BEGIN(CREAT);
	SLOT(s, CREAT_FD) = s->ret;
	put_user_str(s, CREAT_NAME, s->args[0]);
	SLOT(s, CREAT_MODE) = s->args[1] & 07777;
	SLOT(s, CREAT_DEV) = place->dev;
	SLOT(s, CREAT_INO) = place->ino;
	/* upper 1, lower 2: the layers' file_info bits, as it happens */
	SLOT(s, CREAT_CREAT_FLAGS) = place->layer;
	put_base(s, CREAT_BASE, CREAT_NAME, AT_FDCWD);
	put_file(s, CREAT_FILE, file);
}

INLINE void put_open_by_handle(struct scratch *s, u64 file, const struct place *place)
{
	BEGIN(OPEN_BY_HANDLE_AT);
	SLOT(s, OPEN_BY_HANDLE_AT_FD) = s->ret;
	SLOT(s, OPEN_BY_HANDLE_AT_MOUNTFD) = (s32)s->args[0];
	SLOT(s, OPEN_BY_HANDLE_AT_FLAGS) = open_flags(s->args[2]) | layer_flags(place);
	put_file_path(s, OPEN_BY_HANDLE_AT_PATH, file);
	put_path_views(s, OPEN_BY_HANDLE_AT_BASE, base_path(current_task(), s->args[0]));
	SLOT(s, OPEN_BY_HANDLE_AT_DEV) = place->dev;
	SLOT(s, OPEN_BY_HANDLE_AT_INO) = place->ino;
	put_file(s, OPEN_BY_HANDLE_AT_FILE, file);
}

SEC("tp_btf/sys_exit")
int family_open(void)
{
	struct scratch *s = scratch_get();
	struct task_struct *task = current_task();
	struct place place;
	u64 file;
	s32 fd;

	if (!s)
		return 0;
#ifdef PLAIN_TAIL_CALLS
	struct counters *c = counters_get();
	u8 flags = s->h.flags; /* the filter's notepad is there */

	if (!c || open_left_out(s, c, task))
		return 0;
	s->h.flags = flags;
#endif
	fd = s->ret;
	file = s->ret >= 0 ? fd_file(task, fd) : 0;
	place = file_place(file);

	switch (s->entry.kind) {
	case KIND_OPENAT:
		BEGIN(OPENAT);
		SLOT(s, OPENAT_FD) = s->ret;
		SLOT(s, OPENAT_DIRFD) = (s32)s->args[0];
		put_given(s, OPENAT_NAME, s->args[1]);
		SLOT(s, OPENAT_FLAGS) = open_flags(s->args[2]) | layer_flags(&place);
		SLOT(s, OPENAT_MODE) = open_mode(s->args[2], s->args[3]);
		SLOT(s, OPENAT_DEV) = place.dev;
		SLOT(s, OPENAT_INO) = place.ino;
		put_base(s, OPENAT_BASE, OPENAT_NAME, s->args[0]);
		put_opened(s, OPENAT_FILE, file, OPENAT_NAME);
		break;
	case KIND_OPEN:
		BEGIN(OPEN);
		SLOT(s, OPEN_FD) = s->ret;
		put_given(s, OPEN_NAME, s->args[0]);
		SLOT(s, OPEN_FLAGS) = open_flags(s->args[1]) | layer_flags(&place);
		SLOT(s, OPEN_MODE) = open_mode(s->args[1], s->args[2]);
		SLOT(s, OPEN_DEV) = place.dev;
		SLOT(s, OPEN_INO) = place.ino;
		put_base(s, OPEN_BASE, OPEN_NAME, AT_FDCWD);
		put_opened(s, OPEN_FILE, file, OPEN_NAME);
		break;
	case KIND_OPENAT2:
		put_openat2(s, file, &place);
		break;
	case KIND_CREAT:
		put_creat(s, file, &place);
		break;
	case KIND_OPEN_BY_HANDLE_AT:
		put_open_by_handle(s, file, &place);
		break;
	default:
		return wrong_family(s);
	}
	return submit(s, s->entry.category);
}
