/* SPDX-License-Identifier: Apache-2.0 */
/* Syscalls on what a file is: mode, owner, access, status. */
#include "entryfilter.h"
#include "file.h"
#include "shapes.h"

/* setxattr and its relatives; false for any other syscall. */
INLINE bool xattr_event(struct scratch *s)
{
	u64 value[2] = {}; /* struct xattr_args: value, size and flags (include/uapi/linux/xattr.h) */

	switch (s->entry.kind) {
	case KIND_SETXATTR:
	case KIND_LSETXATTR:
		begin_syscall(s, s->entry.kind, SETXATTR_SLOTS);
		SLOT(s, SETXATTR_RES) = s->ret;
		SLOT(s, SETXATTR_SIZE) = s->args[3];
		put_user_str(s, SETXATTR_PATH, s->args[0]);
		put_base(s, SETXATTR_BASE, SETXATTR_PATH, AT_FDCWD);
		put_user_str(s, SETXATTR_NAME, s->args[1]);
		return true;
	case KIND_FSETXATTR:
		FD_EVENT(FSETXATTR);
		SLOT(s, FSETXATTR_SIZE) = s->args[3];
		put_user_str(s, FSETXATTR_NAME, s->args[1]);
		return true;
	case KIND_SETXATTRAT:
		bpf_probe_read_user(value, sizeof(value), (void *)s->args[4]);
		PATH_AT_EVENT(SETXATTRAT);
		SLOT(s, SETXATTRAT_SIZE) = (u32)value[1];
		put_user_str(s, SETXATTRAT_NAME, s->args[3]);
		return true;
	}
	return false;
}

SEC("tp_btf/sys_exit")
int family_attr(void)
{
	struct scratch *s = scratch_get();
	struct counters *c = counters_get();

	if (!s || !c || entry_left_out(s, c, current_task()))
		return 0;
	switch (s->entry.kind) {
	case KIND_CHMOD:
		PATH_EVENT(CHMOD);
		SLOT(s, CHMOD_MODE) = (u32)s->args[1];
		break;
	case KIND_FCHMOD:
		FD_EVENT(FCHMOD);
		SLOT(s, FCHMOD_MODE) = (u32)s->args[1];
		break;
	case KIND_FCHMODAT:
		PATH_AT_EVENT(FCHMODAT);
		SLOT(s, FCHMODAT_MODE) = (u32)s->args[2];
		break;
	case KIND_FCHMODAT2:
		PATH_AT_EVENT(FCHMODAT2);
		SLOT(s, FCHMODAT2_MODE) = (u32)s->args[2];
		SLOT(s, FCHMODAT2_FLAGS) = (u32)s->args[3];
		break;
	case KIND_CHOWN:
		PATH_EVENT(CHOWN);
		SLOT(s, CHOWN_UID) = (u32)s->args[1];
		SLOT(s, CHOWN_GID) = (u32)s->args[2];
		break;
	case KIND_LCHOWN:
		PATH_EVENT(LCHOWN);
		SLOT(s, LCHOWN_UID) = (u32)s->args[1];
		SLOT(s, LCHOWN_GID) = (u32)s->args[2];
		break;
	case KIND_FCHOWN:
		FD_EVENT(FCHOWN);
		SLOT(s, FCHOWN_UID) = (u32)s->args[1];
		SLOT(s, FCHOWN_GID) = (u32)s->args[2];
		break;
	case KIND_FCHOWNAT:
		PATH_AT_EVENT(FCHOWNAT);
		SLOT(s, FCHOWNAT_UID) = (u32)s->args[2];
		SLOT(s, FCHOWNAT_GID) = (u32)s->args[3];
		SLOT(s, FCHOWNAT_FLAGS) = (u32)s->args[4];
		break;
	case KIND_ACCESS:
		PATH_EVENT(ACCESS);
		SLOT(s, ACCESS_MODE) = (u32)s->args[1];
		break;
	case KIND_STAT:
		PATH_EVENT(STAT);
		break;
	case KIND_LSTAT:
		PATH_EVENT(LSTAT);
		break;
	case KIND_FSTAT:
		FD_EVENT(FSTAT);
		break;
	case KIND_NEWFSTATAT:
		PATH_AT_EVENT(NEWFSTATAT);
		SLOT(s, NEWFSTATAT_FLAGS) = (u32)s->args[3];
		break;
	case KIND_TRUNCATE:
		PATH_EVENT(TRUNCATE);
		break;
	default:
		if (!xattr_event(s))
			return wrong_family(s);
	}
	return finish(s);
}
_Static_assert(LSETXATTR_SLOTS == SETXATTR_SLOTS && LSETXATTR_NAME == SETXATTR_NAME && LSETXATTR_BASE == SETXATTR_BASE, "setxattr");
