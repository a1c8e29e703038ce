/* SPDX-License-Identifier: Apache-2.0 */
/* The control groups of a process: their paths, and their ids. */
#pragma once
#include "record.h"

INLINE struct kernfs_node *kernfs_parent(struct kernfs_node *kn)
{
	struct kernfs_node___parent *new = (void *)kn;
	if (FIELD_EXISTS(struct kernfs_node___parent, __parent))
		return READ(new, __parent);
	return READ(kn, parent);
}

/* A path with more components, or a longer one, is cut in front, where the
 * container's id may be: the event is marked, and its groups count as no host's. */
#define CGROUP_DEPTH 24

INLINE u64 css_cgroup(u64 css)
{
	return css ? LOAD64(css + FIELD_OFFSET(struct cgroup_subsys_state, cgroup)) : 0;
}

/* "name=path\0" at the tail. */
FUNC int cgroup_append(struct scratch *s, u64 cgroup, u64 name, u32 name_len)
{
	if (!s || !cgroup || tail_full(s))
		return 0;
	struct kernfs_node *kn = READ(AS(struct cgroup, cgroup), kn);
	struct kernfs_node *parent = NULL;
	u32 pos = PATH_MASK;

	for (int i = 0; i < CGROUP_DEPTH; i++) {
		parent = kernfs_parent(kn);
		if (!parent)
			break;
		/* Copied to the buffer's spare half first: the length of the name
		 * is not known before. */
		long n = bpf_probe_read_kernel_str(&s->path[PATH_MASK + 1], 256, READ(kn, name));
		if (n <= 0 || pos < n + 1)
			break;
		n = (n - 1) & 255;
		pos = (pos - n - 1) & PATH_MASK;
		s->path[pos] = '/';
		bpf_probe_read_kernel(&s->path[pos + 1], BOUND(n, 255), &s->path[PATH_MASK + 1]);
		kn = parent;
		parent = kernfs_parent(kn);
	}
	if (parent)
		s->h.flags |= EVENT_TRUNCATED;
	*(u64 *)tail(s) = name;
	s->len += name_len;
	u32 len = (PATH_MASK - pos) & PATH_MASK;
	if (!len) {
		*tail(s) = '/';
		len = 1;
	} else {
		bpf_probe_read_kernel(tail(s), BOUND(len, PATH_MASK), &s->path[pos]);
	}
	s->len += len;
	*tail(s) = 0;
	s->len++;
	return 0;
}

/* The five hierarchies that Falco sends, and that of version 2 where no
 * controller tells of it: the group is one below, or has none. */
FUNC int put_cgroups(struct scratch *s, u32 slot, u64 set)
{
	if (!s)
		return 0;
	u32 start = s->len;
	u64 css = set + FIELD_OFFSET(struct css_set, subsys), cgroup = 0;

#define CGROUP(id, name)                                                                     \
	if (KERNEL_HAS_ENUM(enum cgroup_subsys_id, id)) {                                    \
		cgroup = css_cgroup(LOAD64(css + 8 * KERNEL_ENUM(enum cgroup_subsys_id, id))); \
		cgroup_append(s, cgroup, *(const u64 *)(name "=\0\0\0\0\0"), sizeof(name));  \
	}
	CGROUP(cpuset_cgrp_id, "cpuset");
	CGROUP(cpu_cgrp_id, "cpu");
	CGROUP(cpuacct_cgrp_id, "cpuacct");
	CGROUP(io_cgrp_id, "io");
	CGROUP(memory_cgrp_id, "memory");
#undef CGROUP
	u64 unified = LOAD64(set + FIELD_OFFSET(struct css_set, dfl_cgrp));
	if (unified != cgroup && kernfs_parent(READ(AS(struct cgroup, unified), kn)))
		cgroup_append(s, unified, '=', 1);
	u32 n = s->len - start;
	s->len = start;
	tail_commit(s, slot, n);
	return 0;
}

/* The groups of which put_cgroups tells, by their ids. */
INLINE void cgroup_set_read(struct cgroup_set *to, u64 set)
{
	u64 css = set + FIELD_OFFSET(struct css_set, subsys);

#define CGROUP(i, address)                                                                   \
	do {                                                                                 \
		u64 _cgroup = address;                                                       \
		struct kernfs_node *_kn = READ(AS(struct cgroup, _cgroup), kn);              \
		struct cgroup_root *_root = READ(AS(struct cgroup, _cgroup), root);          \
		to->ids[i] = _cgroup ? READ(_kn, id) : 0;                                    \
		to->hierarchies[i] = _cgroup ? READ(_root, hierarchy_id) : 0;                \
	} while (0)
#define SUBSYSTEM(i, id)                                                                     \
	CGROUP(i, KERNEL_HAS_ENUM(enum cgroup_subsys_id, id) ?                               \
			  css_cgroup(LOAD64(css + 8 * KERNEL_ENUM(enum cgroup_subsys_id, id))) : \
			  0)
	SUBSYSTEM(0, cpuset_cgrp_id);
	SUBSYSTEM(1, cpu_cgrp_id);
	SUBSYSTEM(2, cpuacct_cgrp_id);
	SUBSYSTEM(3, io_cgrp_id);
	SUBSYSTEM(4, memory_cgrp_id);
	CGROUP(5, LOAD64(set + FIELD_OFFSET(struct css_set, dfl_cgrp)));
#undef SUBSYSTEM
#undef CGROUP
}

/* The same, as the value of a slot: what put_cgroups tells is true of all
 * processes in these groups. */
FUNC int put_cgroup_set(struct scratch *s, u32 slot, u64 set)
{
	if (!s || tail_full(s) || s->h.flags & EVENT_TRUNCATED)
		return 0;
	cgroup_set_read(&s->cgroup_set, set);
	*(struct cgroup_set *)tail(s) = s->cgroup_set;
	tail_commit(s, slot, sizeof(struct cgroup_set));
	return 0;
}
