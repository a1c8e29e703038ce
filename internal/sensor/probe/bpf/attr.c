/* SPDX-License-Identifier: Apache-2.0 */
/* Syscalls on what a file is: mode, owner, access, status. */
#include "file.h"
#include "shapes.h"

SEC("tp_btf/sys_exit")
int family_attr(u64 *ctx)
{
	struct scratch *s = scratch_get();

	if (!s)
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
	default:
		return wrong_family(s);
	}
	return finish(s);
}
