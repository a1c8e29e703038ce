/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the open filter said before: programs open the same files over and over,
 * and the automaton takes longer over a path than to see that it is the same
 * one, leading to the same file. Kept per CPU, for a second or so.
 */
#pragma once
#include "walk.h"

#define DCACHE_OP_HASH 1 /* include/linux/dcache.h: names may differ and have one hash */

/* The numbers below are sums of these: of every dentry on the way, its parent, and
 * its name's length and hash (which the kernel has ready; nobody outside knows what
 * it starts from, the parent's address). Mixed as by splitmix64: odd constants, and
 * the high bits into the low. */
INLINE u64 dentry_mix(u64 dentry, u64 parent)
{
	u64 x = dentry * 0x9e3779b97f4a7c15 + parent;

	x = (x ^ x >> 32) + LOAD64(dentry + FIELD_OFFSET(struct dentry, d_name));
	x *= 0xbf58476d1ce4e5b9;
	return x ^ x >> 29;
}

/* A number for a file or directory of a mount, and the way that leads to it, which is another one once a directory on the way is renamed or mounted
 * elsewhere, added to the number before. 0 if absent. */
#ifdef LEGACY

INLINE u64 path_id(u64, u64, u64)
{
	return 0; /* calls for every field would take longer than the path */
}

#else

INLINE u64 path_id(u64 dentry_at, u64 mnt, u64 id)
{
	u64 at = dentry_at, mount = mnt - FIELD_OFFSET(struct mount, mnt);

	for (int i = 0; i < CHAIN; i++) {
		u64 dentry = at;
		enum step step = step_up(&at, &mount);
		if (step == STEP_MOUNT)
			continue;
		if (step == STEP_TOP)
			return is_namespace_root(mount) ? id : 0;
		if (step == STEP_LOOSE || READ(AS(struct dentry, dentry), d_flags) & DCACHE_OP_HASH)
			return 0;
		id += dentry_mix(dentry, at);
	}
	return 0;
}

#endif

INLINE u64 path_id_at(u64 path, u64 id)
{
	return path_id(LOAD64(path + FIELD_OFFSET(struct path, dentry)), LOAD64(path + FIELD_OFFSET(struct path, mnt)), id);
}

/* What numbers begin with: they are of this filter, and of now. */
INLINE u64 id_begin(u64 epoch)
{
	return epoch << 32 ^ bpf_jiffies64() >> 8;
}

/* The struct path of the task's root. */
INLINE u64 task_root(void)
{
	struct task_struct *task = current_task();

	return LOAD64(&task->fs) + FIELD_OFFSET(struct fs_struct, root);
}

/* From another root the same file has other names. */
INLINE u64 id_of_root(void)
{
	u64 root = task_root();

	return (LOAD64(root + FIELD_OFFSET(struct path, dentry)) ^ LOAD64(root + FIELD_OFFSET(struct path, mnt)) << 1) *
	       0x9e3779b97f4a7c15;
}

/* A number for where an open began (the struct path at base, 0 if its path is
 * absolute) and the file it led to. 0 if absent. */
INLINE u64 open_id(u64 file, u64 base, u64 epoch)
{
	u64 id = path_id_at(file_path(file), id_begin(epoch));

	if (!id)
		return 0;
	id += id_of_root();
	return base ? path_id_at(base, id * 0x9e3779b97f4a7c15) : id; /* there and back is not back and there */
}

/* A number for a directory of a mount. 0 if absent. */
INLINE u64 dir_id(u64 dir, u64 mnt, u64 epoch)
{
	u64 id = path_id(dir, mnt, id_begin(epoch));

	return id ? id + id_of_root() : 0;
}

/* Is the path as given, with zeros behind it, that of m? */
INLINE bool memo_has(struct open_memo *m, u64 *path)
{
	u64 diff = 0;

#pragma unroll
	for (u32 i = 0; i < MEMO_PATH / 8; i++)
		diff |= m->given[i] ^ path[i];
	return !diff;
}

INLINE void memo_put(struct open_memo *m, u64 id, u64 *path, struct met met)
{
	m->id = id;
	m->met = met;
#pragma unroll
	for (u32 i = 0; i < MEMO_PATH / 8; i++)
		m->given[i] = path[i];
}
