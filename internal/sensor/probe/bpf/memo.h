/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the open filter said before: programs open the same files over and over,
 * and the automaton takes longer over a path than to see that it is the same
 * one, leading to the same file. Kept per CPU, for a second or so.
 */
#pragma once
#include "path.h"

#define DCACHE_OP_HASH 1 /* include/linux/dcache.h: names may differ and have one hash */

/* A number for an open file and the path that leads to it, which is another one
 * once a directory on the way is renamed or mounted elsewhere: made of every
 * dentry on the way, its name's length and hash (which the kernel has ready;
 * nobody outside knows what it starts from, the parent's address), the filter's
 * epoch and the time. 0: there is none. */
#ifdef LEGACY

INLINE u64 file_id(u64 file, u64 epoch)
{
	return 0; /* calls for every field would take longer than the path */
}

#else

INLINE u64 file_id(u64 file, u64 epoch)
{
	u64 path = file + FIELD_OFFSET(struct file, f_path);
	u64 at = LOAD64(path + FIELD_OFFSET(struct path, dentry));
	u64 mount = LOAD64(path + FIELD_OFFSET(struct path, mnt)) - FIELD_OFFSET(struct mount, mnt);
	u64 id = epoch << 32 ^ bpf_jiffies64() >> 8;

	for (int i = 0; i < CHAIN; i++) {
		if (at == LOAD64(mount + FIELD_OFFSET(struct mount, mnt.mnt_root))) {
			u64 above = LOAD64(mount + FIELD_OFFSET(struct mount, mnt_parent));
			if (above == mount)
				return id;
			at = LOAD64(mount + FIELD_OFFSET(struct mount, mnt_mountpoint));
			mount = above;
			continue;
		}
		u64 parent = LOAD64(at + FIELD_OFFSET(struct dentry, d_parent));
		if (parent == at) /* not mounted */
			return 0;
		if (READ(AS(struct dentry, at), d_flags) & DCACHE_OP_HASH)
			return 0;
		/* Mixed as by splitmix64: odd constants, and the high half into the low. */
		id = (id ^ at) * 0x9e3779b97f4a7c15;
		id = (id ^ LOAD64(at + FIELD_OFFSET(struct dentry, d_name))) * 0xbf58476d1ce4e5b9;
		id ^= id >> 32;
		at = parent;
	}
	return 0;
}

#endif

/* Is the path as given, with zeros behind it, that of m? */
INLINE bool memo_has(struct open_memo *m, u64 *path)
{
	u64 diff = 0;

#pragma unroll
	for (u32 i = 0; i < MEMO_PATH / 8; i++)
		diff |= m->given[i] ^ path[i];
	return !diff;
}

INLINE void memo_put(struct open_memo *m, u64 file, u64 *path, u64 mask)
{
	m->file = file;
	m->mask = mask;
#pragma unroll
	for (u32 i = 0; i < MEMO_PATH / 8; i++)
		m->given[i] = path[i];
}
