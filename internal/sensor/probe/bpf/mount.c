/* SPDX-License-Identifier: Apache-2.0 */
/* What the tree of files looks like: mounts, the current directory, the root,
 * quotas. */
#include "file.h"
#include "flags.h"
#include "payload.h"
#include "shapes.h"

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

#define FSCONFIG_SET_STRING 1
#define FSCONFIG_SET_BINARY 2
#define FSCONFIG_SET_PATH 3
#define FSCONFIG_SET_PATH_EMPTY 4
#define FSCONFIG_SET_FD 5

INLINE void put_fsconfig(struct scratch *s)
{
	u32 cmd = s->args[1];

	SLOT(s, FSCONFIG_CMD) = cmd;
	SLOT(s, FSCONFIG_AUX) = (s32)s->args[4];
	if (cmd <= FSCONFIG_SET_FD)
		put_user_str(s, FSCONFIG_KEY, s->args[2]);
	if (cmd == FSCONFIG_SET_BINARY)
		put_data(s, FSCONFIG_VALUE_BYTEBUF, s->args[3], (u32)s->args[4]);
	if (cmd == FSCONFIG_SET_STRING || cmd == FSCONFIG_SET_PATH || cmd == FSCONFIG_SET_PATH_EMPTY)
		put_user_str(s, FSCONFIG_VALUE_CHARBUF, s->args[3]);
}

INLINE void put_mount(struct scratch *s)
{
	u64 flags = s->args[3];

	BEGIN(MOUNT);
	SLOT(s, MOUNT_RES) = s->ret;
	put_user_str(s, MOUNT_DEV, s->args[0]);
	put_user_str(s, MOUNT_DIR, s->args[1]);
	put_user_str(s, MOUNT_TYPE, s->args[2]);
	/* Without the old magic number that marked the flags as such. */
	SLOT(s, MOUNT_FLAGS) = (u32)((flags & 0xffff0000) == 0xc0ed0000 ? flags & 0xffff : flags);
	put_base(s, MOUNT_BASE, MOUNT_DIR, AT_FDCWD);
}

INLINE void put_move_mount(struct scratch *s)
{
	BEGIN(MOVE_MOUNT);
	SLOT(s, MOVE_MOUNT_RES) = s->ret;
	SLOT(s, MOVE_MOUNT_OLDDIRFD) = (s32)s->args[0];
	put_user_str(s, MOVE_MOUNT_OLDPATH, s->args[1]);
	SLOT(s, MOVE_MOUNT_NEWDIRFD) = (s32)s->args[2];
	put_user_str(s, MOVE_MOUNT_NEWPATH, s->args[3]);
	SLOT(s, MOVE_MOUNT_FLAGS) = (u32)s->args[4];
	put_base(s, MOVE_MOUNT_BASE, MOVE_MOUNT_OLDPATH, s->args[0]);
	put_base(s, MOVE_MOUNT_BASE2, MOVE_MOUNT_NEWPATH, s->args[2]);
	name_fd(s, MOVE_MOUNT_FILE, s->args[0]);
}

/* attr is the start of struct mount_attr: what is set, what is cleared. */
INLINE void put_mount_setattr(struct scratch *s)
{
	u64 attr[3] = {};

	PATH_AT_EVENT(MOUNT_SETATTR);
	SLOT(s, MOUNT_SETATTR_FLAGS) = (u32)s->args[2];
	if (bpf_probe_read_user(attr, sizeof(attr), (void *)s->args[3]))
		count_fault();
	SLOT(s, MOUNT_SETATTR_ATTR_SET) = attr[0];
	SLOT(s, MOUNT_SETATTR_ATTR_CLR) = attr[1];
	SLOT(s, MOUNT_SETATTR_PROPAGATION) = attr[2];
}

SEC("tp_btf/sys_exit")
int family_mount(void)
{
	struct scratch *s = scratch_get();

	if (!s)
		return 0;
	switch (s->entry.kind) {
	case KIND_MOUNT:
		put_mount(s);
		break;
	case KIND_UMOUNT:
		PATH_EVENT(UMOUNT);
		break;
	case KIND_UMOUNT2:
		PATH_EVENT(UMOUNT2);
		SLOT(s, UMOUNT2_FLAGS) = (u32)s->args[1];
		break;
	case KIND_CHDIR:
		BEGIN(CHDIR);
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
	case KIND_GETCWD:
		BEGIN(GETCWD);
		SLOT(s, GETCWD_RES) = s->ret;
		if (s->ret >= 0)
			put_user_str(s, GETCWD_PATH, s->args[0]);
		break;
	case KIND_QUOTACTL:
		BEGIN(QUOTACTL);
		put_quotactl(s);
		break;
	case KIND_OPEN_TREE:
		BEGIN(OPEN_TREE);
		SLOT(s, OPEN_TREE_FD) = s->ret;
		SLOT(s, OPEN_TREE_DIRFD) = (s32)s->args[0];
		put_user_str(s, OPEN_TREE_PATH, s->args[1]);
		SLOT(s, OPEN_TREE_FLAGS) = (u32)s->args[2];
		put_base(s, OPEN_TREE_BASE, OPEN_TREE_PATH, s->args[0]);
		name_fd(s, OPEN_TREE_FILE, s->ret);
		break;
	case KIND_MOVE_MOUNT:
		put_move_mount(s);
		break;
	case KIND_FSMOUNT:
		NEW_FD_EVENT(FSMOUNT);
		SLOT(s, FSMOUNT_FSFD) = (s32)s->args[0];
		SLOT(s, FSMOUNT_FLAGS) = (u32)s->args[1];
		SLOT(s, FSMOUNT_ATTR_FLAGS) = (u32)s->args[2];
		break;
	case KIND_MOUNT_SETATTR:
		put_mount_setattr(s);
		break;
	case KIND_FSCONFIG:
		FD_EVENT(FSCONFIG);
		put_fsconfig(s);
		break;
	default:
		return wrong_family(s);
	}
	return finish(s);
}
