/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which hook reports a syscall: sys_exit, which sees them all, or the return of
 * the syscall's own function, attached to those that are asked for. A call
 * passes both, the function first, while one takes over from the other; see
 * hooks.go for the order in which the loader sets these.
 */
#pragma once
#include "read.h"
#include "schema.h"

extern volatile u64 hooks SEC(".data.hooks");

/* Threads between the end of the function and sys_exit: no more than CPUs, or
 * those that audit's rules keep there. */
extern struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, u32);
} marks SEC(".maps");

/* Does this hook report the call that returns? */
INLINE bool reports(u32 hook, struct task_struct *task)
{
	u64 state = hooks;
	u32 tid, one = 1;

	if (likely(!(state & WITH_MARKS)))
		return state & hook;
	tid = READ(task, pid);
	if (hook == BY_SYS_EXIT)
		return bpf_map_delete_elem(&marks, &tid) && state & BY_SYS_EXIT;
	if (!(state & BY_FUNCTION))
		return false;
	return !bpf_map_update_elem(&marks, &tid, &one, 0) || !(state & BY_SYS_EXIT);
}
