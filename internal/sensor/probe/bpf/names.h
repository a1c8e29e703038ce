/* SPDX-License-Identifier: Apache-2.0 */
/* The names of processes, and what is needed of processes of a name. */
#pragma once
#include "record.h"

/* The name that a process got at its exec, which is its name for the rules: a
 * process may call itself something else later. */
struct name {
	char text[16];
};

extern struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, u32);
	__type(value, struct name);
} process_names SEC(".maps");

/* What is needed of processes of a name. */
extern struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NAMED_PROCESSES);
	__type(key, struct name);
	__type(value, struct needs);
} named_needs SEC(".maps");

INLINE void name_exec(struct task_struct *task)
{
	struct name name = {};
	u32 pid = READ(task, tgid);

	bpf_probe_read_kernel_str(name.text, sizeof(name.text), &task->comm);
	bpf_map_update_elem(&process_names, &pid, &name, 0);
}

INLINE void name_fork(u32 parent, u32 child)
{
	struct name *name = bpf_map_lookup_elem(&process_names, &parent);
	if (name)
		bpf_map_update_elem(&process_names, &child, name, 0);
	else
		bpf_map_delete_elem(&process_names, &child);
}

INLINE void name_exit(u32 pid)
{
	bpf_map_delete_elem(&process_names, &pid);
}

/* Has the memo of the task's process say what the tables say; 0 if its name is
 * not known. */
JUMP_FUNC int name_look_up(struct scratch *s, u64 epoch)
{
	if (!s)
		return 0;
	struct task_struct *task = current_task();
	struct task_struct *leader = READ(task, group_leader);
	u32 pid = READ(task, tgid);
	struct name *known = bpf_map_lookup_elem(&process_names, &pid);
	if (!known)
		return 0;
	struct name name = *known;
	struct needs *needs = bpf_map_lookup_elem(&named_needs, &name);
	struct name_memo *m = &s->names[pid & (NAME_MEMOS - 1)];
	m->pid = pid;
	m->exec_id = READ(task, self_exec_id);
	m->start = READ(leader, start_boottime);
	m->epoch = epoch;
	m->needs.opens = needs ? needs->opens : 0;
	m->needs.sockets = needs ? needs->sockets : 0;
	m->needs.rules.lo = needs ? needs->rules.lo : 0;
	m->needs.rules.hi = needs ? needs->rules.hi : 0;
	return 1;
}
