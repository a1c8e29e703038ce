/* SPDX-License-Identifier: Apache-2.0 */
/* Syscalls that change entries of directories: links, directories, nodes. */
#include "entryfilter.h"
#include "file.h"
#include "flags.h"
#include "shapes.h"

/* Two paths with their directories' descriptors, as renameat has them. */
INLINE void put_two_at(struct scratch *s)
{
	SLOT(s, RENAMEAT_RES) = s->ret;
	SLOT(s, RENAMEAT_OLDDIRFD) = (s32)s->args[0];
	put_user_str(s, RENAMEAT_OLDPATH, s->args[1]);
	SLOT(s, RENAMEAT_NEWDIRFD) = (s32)s->args[2];
	put_user_str(s, RENAMEAT_NEWPATH, s->args[3]);
}
_Static_assert(LINKAT_NEWPATH == RENAMEAT_NEWPATH && RENAMEAT2_NEWPATH == RENAMEAT_NEWPATH, "two paths");

#define TWO_AT_EVENT(K)                                       \
	do {                                                  \
		BEGIN(K);                                     \
		put_two_at(s);                                \
		put_base(s, K##_BASE, K##_OLDPATH, s->args[0]);  \
		put_base(s, K##_BASE2, K##_NEWPATH, s->args[2]); \
	} while (0)

#define TWO_PATHS_EVENT(K)                                   \
	do {                                                 \
		BEGIN(K);                                    \
		SLOT(s, K##_RES) = s->ret;                   \
		put_user_str(s, K##_OLDPATH, s->args[0]);    \
		put_user_str(s, K##_NEWPATH, s->args[1]);    \
		put_base(s, K##_BASE, K##_OLDPATH, AT_FDCWD);  \
		put_base(s, K##_BASE2, K##_NEWPATH, AT_FDCWD); \
	} while (0)

INLINE void put_symlinkat(struct scratch *s)
{
	BEGIN(SYMLINKAT);
	SLOT(s, SYMLINKAT_RES) = s->ret;
	put_user_str(s, SYMLINKAT_TARGET, s->args[0]);
	SLOT(s, SYMLINKAT_LINKDIRFD) = (s32)s->args[1];
	put_user_str(s, SYMLINKAT_LINKPATH, s->args[2]);
	put_base(s, SYMLINKAT_BASE, SYMLINKAT_LINKPATH, s->args[1]);
	name_fd(s, SYMLINKAT_FILE, s->args[1]);
}

SEC("tp_btf/sys_exit")
int family_dirent(void)
{
	struct scratch *s = scratch_get();
	struct counters *c = counters_get();

	if (!s || !c || entry_left_out(s, c, current_task()))
		return 0;
	switch (s->entry.kind) {
	case KIND_UNLINK:
		PATH_EVENT(UNLINK);
		break;
	case KIND_UNLINKAT:
		PATH_AT_EVENT(UNLINKAT);
		SLOT(s, UNLINKAT_FLAGS) = (u32)s->args[2];
		break;
	case KIND_RMDIR:
		PATH_EVENT(RMDIR);
		break;
	case KIND_MKDIR:
		PATH_EVENT(MKDIR);
		SLOT(s, MKDIR_MODE) = (u32)s->args[1];
		break;
	case KIND_MKDIRAT:
		PATH_AT_EVENT(MKDIRAT);
		SLOT(s, MKDIRAT_MODE) = (u32)s->args[2];
		break;
	case KIND_RENAME:
		TWO_PATHS_EVENT(RENAME);
		break;
	case KIND_RENAMEAT:
		TWO_AT_EVENT(RENAMEAT);
		break;
	case KIND_RENAMEAT2:
		TWO_AT_EVENT(RENAMEAT2);
		SLOT(s, RENAMEAT2_FLAGS) = (u32)s->args[4];
		break;
	case KIND_LINK:
		TWO_PATHS_EVENT(LINK);
		break;
	case KIND_LINKAT:
		TWO_AT_EVENT(LINKAT);
		SLOT(s, LINKAT_FLAGS) = (u32)s->args[4];
		break;
	case KIND_SYMLINK:
		BEGIN(SYMLINK);
		SLOT(s, SYMLINK_RES) = s->ret;
		put_user_str(s, SYMLINK_TARGET, s->args[0]);
		put_user_str(s, SYMLINK_LINKPATH, s->args[1]);
		put_base(s, SYMLINK_BASE, SYMLINK_LINKPATH, AT_FDCWD);
		break;
	case KIND_SYMLINKAT:
		put_symlinkat(s);
		break;
	case KIND_MKNOD:
		PATH_EVENT(MKNOD);
		SLOT(s, MKNOD_MODE) = (u32)s->args[1];
		SLOT(s, MKNOD_DEV) = (u32)s->args[2];
		break;
	case KIND_MKNODAT:
		PATH_AT_EVENT(MKNODAT);
		SLOT(s, MKNODAT_MODE) = (u32)s->args[2];
		SLOT(s, MKNODAT_DEV) = (u32)s->args[3];
		break;
	default:
		return wrong_family(s);
	}
	return finish(s);
}
