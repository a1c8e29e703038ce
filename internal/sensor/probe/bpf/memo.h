/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the open filter said before: programs open the same files over and over,
 * and the automaton takes longer over a path than to see that it is the same
 * one, leading to the same file. Kept per CPU, for a second or so.
 */
#pragma once
#include "walk.h"

#define DCACHE_OP_HASH 1 /* include/linux/dcache.h: names may differ and have one hash */

/* A number for the file or directory of a struct path and the way that leads to
 * it, which is another one once a directory on the way is renamed or mounted
 * elsewhere: made of the number before and of every dentry on the way, its
 * name's length and hash (which the kernel has ready; nobody outside knows what
 * it starts from, the parent's address). 0 if absent. */
#ifdef LEGACY

INLINE u64 path_id(u64, u64)
{
	return 0; /* calls for every field would take longer than the path */
}

#else

INLINE u64 path_id(u64 path, u64 id)
{
	u64 at = LOAD64(path + FIELD_OFFSET(struct path, dentry));
	u64 mount = LOAD64(path + FIELD_OFFSET(struct path, mnt)) - FIELD_OFFSET(struct mount, mnt);

	for (int i = 0; i < CHAIN; i++) {
		u64 dentry = at;
		enum step step = step_up(&at, &mount);
		if (step == STEP_MOUNT)
			continue;
		if (step == STEP_TOP)
			return is_namespace_root(mount) ? id : 0;
		if (step == STEP_LOOSE || READ(AS(struct dentry, dentry), d_flags) & DCACHE_OP_HASH)
			return 0;
		/* Mixed as by splitmix64: odd constants, and the high half into the low. */
		id = (id ^ dentry) * 0x9e3779b97f4a7c15;
		id = (id ^ LOAD64(dentry + FIELD_OFFSET(struct dentry, d_name))) * 0xbf58476d1ce4e5b9;
		id ^= id >> 32;
	}
	return 0;
}

#endif

/* A number for where an open began (the struct path at base, 0 if its path is
 * absolute) and the file it led to, by this filter, now. 0 if absent. */
INLINE u64 open_id(u64 file, u64 base, u64 epoch)
{
	struct task_struct *task = current_task();
	u64 root = LOAD64(&task->fs) + FIELD_OFFSET(struct fs_struct, root);
	u64 id = path_id(file_path(file), epoch << 32 ^ bpf_jiffies64() >> 8);

	/* From another root the same file has other names. */
	if (id)
		id ^= (LOAD64(root + FIELD_OFFSET(struct path, dentry)) ^ LOAD64(root + FIELD_OFFSET(struct path, mnt)) << 1) *
		      0x9e3779b97f4a7c15;
	return base && id ? path_id(base, id) : id;
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
