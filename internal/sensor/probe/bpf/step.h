/* SPDX-License-Identifier: Apache-2.0 */
/* One step up the tree of dentries and mounts. */
#pragma once
#include "record.h"

enum step {
	STEP_NAME,     /* a name of the path was left behind */
	STEP_MOUNT,    /* the root of a mount: on to where that is mounted */
	STEP_TOP,      /* a root above which nothing is mounted: that of a namespace, or a detached mount's */
	STEP_LOOSE,    /* never mounted: pipes, sockets, memfd */
};

/* Numbers of mount namespaces that nobody is in (fs/namespace.c,
 * alloc_mnt_ns): that of open_tree and fsmount. */
#define NO_NUMBER 0
#define MNT_NS_ANON_INO 0xEFFFFFF7 /* include/uapi/linux/nsfs.h, 6.18 and later */

/* Is a mount without a parent the root of a namespace? Otherwise somebody holds
 * on to it by a descriptor or a directory. */
INLINE bool is_namespace_root(u64 mount)
{
	u64 ns = LOAD64(mount + FIELD_OFFSET(struct mount, mnt_ns));
	if (!ns)
		return false;
	u32 number = READ(AS(struct mnt_namespace, ns), ns.inum);
	return number != NO_NUMBER && number != MNT_NS_ANON_INO;
}

/* One step up from a dentry of a mount. */
INLINE enum step step_up(u64 *dentry, u64 *mount)
{
	u64 at = *dentry, on = *mount;

	if (at == LOAD64(on + FIELD_OFFSET(struct mount, mnt.mnt_root))) {
		u64 above = LOAD64(on + FIELD_OFFSET(struct mount, mnt_parent));
		if (above == on)
			return STEP_TOP;
		*dentry = LOAD64(on + FIELD_OFFSET(struct mount, mnt_mountpoint));
		*mount = above;
		return STEP_MOUNT;
	}
	u64 parent = LOAD64(at + FIELD_OFFSET(struct dentry, d_parent));
	if (parent == at)
		return STEP_LOOSE;
	*dentry = parent;
	return STEP_NAME;
}

#ifndef NO_GLOBAL_FUNCTIONS

#define MOUNTS_OF_FS 16 /* of a filesystem that are looked at */

/* Another mount of the whole filesystem of a root dentry, in the namespace of
 * the task, to s->chain.mount; 0 if absent. */
FUNC int find_mount(struct scratch *s, u64 root)
{
	struct task_struct *task = current_task();

	if (!s)
		return 0;
	struct nsproxy *nsproxy = READ(task, nsproxy);
	u64 ns = (u64)READ(nsproxy, mnt_ns);
	u64 sb = LOAD64(root + FIELD_OFFSET(struct dentry, d_sb));
	u64 head = sb + (FIELD_EXISTS(struct mount___chain, mnt_next_for_sb) ? FIELD_OFFSET(struct super_block, s_mounts) :
									       FIELD_OFFSET(struct super_block___list, s_mounts));
	u64 next = LOAD64(head);

	s->chain.mount = 0;
	for (int i = 0; i < MOUNTS_OF_FS; i++) {
		u64 mount = next;
		if (FIELD_EXISTS(struct mount___chain, mnt_next_for_sb)) {
			if (!mount)
				break;
			next = LOAD64(mount + FIELD_OFFSET(struct mount___chain, mnt_next_for_sb));
		} else {
			if (mount == head)
				break;
			next = LOAD64(mount);
			mount -= FIELD_OFFSET(struct mount___list, mnt_instance);
		}
		if (ns == LOAD64(mount + FIELD_OFFSET(struct mount, mnt_ns)) &&
		    root == LOAD64(mount + FIELD_OFFSET(struct mount, mnt.mnt_root))) {
			s->chain.mount = mount;
			break;
		}
	}
	return 0;
}

#endif

/* The task's root directory, from where its own view of a path starts. */
INLINE void own_root(struct chain *c)
{
	struct task_struct *task = current_task();
	u64 root = LOAD64(&task->fs) + FIELD_OFFSET(struct fs_struct, root);

	c->root = LOAD64(root + FIELD_OFFSET(struct path, dentry));
	c->root_mount = LOAD64(root + FIELD_OFFSET(struct path, mnt)) - FIELD_OFFSET(struct mount, mnt);
	c->own = 0;
}
