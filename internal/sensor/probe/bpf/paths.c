/* SPDX-License-Identifier: Apache-2.0 */
/* Syscalls on paths: links, directories, modes, owners, mounts. */
#include "file.h"
#include "flags.h"
#include "shapes.h"

/* Two paths with their directories' descriptors, as renameat has them. */
INLINE void put_two_at(struct scratch *s, struct task_struct *task)
{
	SLOT(s, RENAMEAT_RES) = s->ret;
	SLOT(s, RENAMEAT_OLDDIRFD) = (s32)s->args[0];
	put_user_str(s, RENAMEAT_OLDPATH, s->args[1]);
	SLOT(s, RENAMEAT_NEWDIRFD) = (s32)s->args[2];
	put_user_str(s, RENAMEAT_NEWPATH, s->args[3]);
}
_Static_assert(LINKAT_NEWPATH == RENAMEAT_NEWPATH && RENAMEAT2_NEWPATH == RENAMEAT_NEWPATH, "two paths");

SEC("tp_btf/sys_exit")
int family_path(u64 *ctx)
{
	struct scratch *s = scratch_get();
	struct task_struct *task = current_task();

	if (!s)
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
		begin_syscall(s, KIND_RENAME, RENAME_SLOTS);
		SLOT(s, RENAME_RES) = s->ret;
		put_user_str(s, RENAME_OLDPATH, s->args[0]);
		put_user_str(s, RENAME_NEWPATH, s->args[1]);
		put_base(s, RENAME_BASE, RENAME_OLDPATH, AT_FDCWD);
		put_base(s, RENAME_BASE2, RENAME_NEWPATH, AT_FDCWD);
		break;
	case KIND_RENAMEAT:
		begin_syscall(s, KIND_RENAMEAT, RENAMEAT_SLOTS);
		put_two_at(s, task);
		put_base(s, RENAMEAT_BASE, RENAMEAT_OLDPATH, s->args[0]);
		put_base(s, RENAMEAT_BASE2, RENAMEAT_NEWPATH, s->args[2]);
		break;
	case KIND_RENAMEAT2:
		begin_syscall(s, KIND_RENAMEAT2, RENAMEAT2_SLOTS);
		put_two_at(s, task);
		SLOT(s, RENAMEAT2_FLAGS) = (u32)s->args[4];
		put_base(s, RENAMEAT2_BASE, RENAMEAT2_OLDPATH, s->args[0]);
		put_base(s, RENAMEAT2_BASE2, RENAMEAT2_NEWPATH, s->args[2]);
		break;
	case KIND_LINK:
		begin_syscall(s, KIND_LINK, LINK_SLOTS);
		SLOT(s, LINK_RES) = s->ret;
		put_user_str(s, LINK_OLDPATH, s->args[0]);
		put_user_str(s, LINK_NEWPATH, s->args[1]);
		put_base(s, LINK_BASE, LINK_OLDPATH, AT_FDCWD);
		put_base(s, LINK_BASE2, LINK_NEWPATH, AT_FDCWD);
		break;
	case KIND_LINKAT:
		begin_syscall(s, KIND_LINKAT, LINKAT_SLOTS);
		put_two_at(s, task);
		SLOT(s, LINKAT_FLAGS) = (u32)s->args[4];
		put_base(s, LINKAT_BASE, LINKAT_OLDPATH, s->args[0]);
		put_base(s, LINKAT_BASE2, LINKAT_NEWPATH, s->args[2]);
		break;
	case KIND_SYMLINK:
		begin_syscall(s, KIND_SYMLINK, SYMLINK_SLOTS);
		SLOT(s, SYMLINK_RES) = s->ret;
		put_user_str(s, SYMLINK_TARGET, s->args[0]);
		put_user_str(s, SYMLINK_LINKPATH, s->args[1]);
		put_base(s, SYMLINK_BASE, SYMLINK_LINKPATH, AT_FDCWD);
		break;
	case KIND_SYMLINKAT:
		begin_syscall(s, KIND_SYMLINKAT, SYMLINKAT_SLOTS);
		SLOT(s, SYMLINKAT_RES) = s->ret;
		put_user_str(s, SYMLINKAT_TARGET, s->args[0]);
		SLOT(s, SYMLINKAT_LINKDIRFD) = (s32)s->args[1];
		put_user_str(s, SYMLINKAT_LINKPATH, s->args[2]);
		put_base(s, SYMLINKAT_BASE, SYMLINKAT_LINKPATH, s->args[1]);
		put_fd(s, SYMLINKAT_FILE, s->args[1]);
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
	}
	return submit(s, s->entry.category);
}

#define Q_QUOTAON 0x800002
#define Q_GETFMT 0x800004
#define Q_GETINFO 0x800005
#define Q_SETINFO 0x800006
#define Q_GETQUOTA 0x800007
#define Q_SETQUOTA 0x800008
#define Q_XGETQUOTA 0x5803
#define Q_XSETQLIM 0x5804

FUNC int put_quotactl(struct scratch *s)
{
	if (!s)
		return 0;
	u32 cmd = (u32)s->args[0] >> 8, type = s->args[0] & 0xff;
	u64 addr = s->args[3];

	SLOT(s, QUOTACTL_RES) = s->ret;
	SLOT(s, QUOTACTL_CMD) = quotactl_cmd(cmd);
	SLOT(s, QUOTACTL_TYPE) = type < 2 ? 1 << type : 0;
	SLOT(s, QUOTACTL_QUOTA_FMT) = quotactl_fmt(cmd == Q_QUOTAON ? (u32)s->args[2] : 0);
	SLOT(s, QUOTACTL_QUOTA_FMT_OUT) = quotactl_fmt(0);
	put_user_str(s, QUOTACTL_SPECIAL, s->args[1]);
	switch (cmd) {
	case Q_QUOTAON:
		put_user_str(s, QUOTACTL_QUOTAFILEPATH, addr);
		break;
	case Q_GETFMT: {
		u32 fmt = 0;
		bpf_probe_read_user(&fmt, sizeof(fmt), (void *)addr);
		SLOT(s, QUOTACTL_QUOTA_FMT_OUT) = quotactl_fmt(fmt);
		break;
	}
	case Q_GETQUOTA:
	case Q_SETQUOTA:
	case Q_XGETQUOTA:
	case Q_XSETQLIM: {
		u64 q[8] = {}; /* struct if_dqblk */
		SLOT(s, QUOTACTL_ID) = (u32)s->args[2];
		if (cmd < Q_GETQUOTA || bpf_probe_read_user(q, sizeof(q), (void *)addr))
			break;
		SLOT(s, QUOTACTL_DQB_BHARDLIMIT) = q[0];
		SLOT(s, QUOTACTL_DQB_BSOFTLIMIT) = q[1];
		SLOT(s, QUOTACTL_DQB_CURSPACE) = q[2];
		SLOT(s, QUOTACTL_DQB_IHARDLIMIT) = q[3];
		SLOT(s, QUOTACTL_DQB_ISOFTLIMIT) = q[4];
		SLOT(s, QUOTACTL_DQB_BTIME) = q[6];
		SLOT(s, QUOTACTL_DQB_ITIME) = q[7];
		break;
	}
	case Q_GETINFO:
	case Q_SETINFO: {
		u64 q[3] = {}; /* struct if_dqinfo: two times, flags and valid of 32 bits */
		if (bpf_probe_read_user(q, sizeof(q), (void *)addr))
			break;
		SLOT(s, QUOTACTL_DQI_BGRACE) = q[0];
		SLOT(s, QUOTACTL_DQI_IGRACE) = q[1];
		SLOT(s, QUOTACTL_DQI_FLAGS) = q[2] & 1 ? 2 : 1;
		break;
	}
	}
	return 0;
}

SEC("tp_btf/sys_exit")
int family_mode(u64 *ctx)
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
	case KIND_MOUNT:
		begin_syscall(s, KIND_MOUNT, MOUNT_SLOTS);
		SLOT(s, MOUNT_RES) = s->ret;
		put_user_str(s, MOUNT_DEV, s->args[0]);
		put_user_str(s, MOUNT_DIR, s->args[1]);
		put_user_str(s, MOUNT_TYPE, s->args[2]);
		/* Without the old magic number that marked the flags as such. */
		SLOT(s, MOUNT_FLAGS) = (u32)((s->args[3] & 0xffff0000) == 0xc0ed0000 ? s->args[3] & 0xffff : s->args[3]);
		put_base(s, MOUNT_BASE, MOUNT_DIR, AT_FDCWD);
		break;
	case KIND_UMOUNT:
		PATH_EVENT(UMOUNT);
		break;
	case KIND_UMOUNT2:
		PATH_EVENT(UMOUNT2);
		SLOT(s, UMOUNT2_FLAGS) = (u32)s->args[1];
		break;
	case KIND_CHDIR:
		begin_syscall(s, KIND_CHDIR, CHDIR_SLOTS);
		SLOT(s, CHDIR_RES) = s->ret;
		put_user_str(s, CHDIR_PATH, s->args[0]);
		put_cwd(s, CHDIR_CWD);
		break;
	case KIND_FCHDIR:
		FD_EVENT(FCHDIR);
		put_cwd(s, FCHDIR_CWD);
		break;
	case KIND_CHROOT:
		PATH_EVENT(CHROOT);
		put_root(s, CHROOT_ROOT);
		break;
	case KIND_QUOTACTL:
		begin_syscall(s, KIND_QUOTACTL, QUOTACTL_SLOTS);
		put_quotactl(s);
		break;
	case KIND_GETCWD:
		begin_syscall(s, KIND_GETCWD, GETCWD_SLOTS);
		SLOT(s, GETCWD_RES) = s->ret;
		if (s->ret >= 0)
			put_user_str(s, GETCWD_PATH, s->args[0]);
		break;
	}
	return submit(s, s->entry.category);
}
