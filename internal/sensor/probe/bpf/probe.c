/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probe: one program on sys_exit, or on the functions of syscalls, that asks
 * a table whether the syscall is wanted, then jumps to the program of its
 * family; three on the scheduler's tracepoints; an iterator over the tasks there
 * are at the start.
 *
 * The families are files of their own, compiled apart and linked (compile). They
 * share headers; what these only declare is in shared.c.
 */
#include "arch.h"
#include "hooks.h"
#include "mask.h"
#include "messagefilter.h"
#include "openfds.h"
#include "record.h"

char __license[] SEC("license") = "Dual MIT/GPL"; /* helpers that read memory need GPL */

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, FAMILIES);
	__type(key, u32);
	__type(value, u32);
} families SEC(".maps");

_Static_assert(FAMILIES < FAMILY_SOCKETCALL, "indices of programs");

/* A jump to a constant index is patched into a direct one; a variable one is an
 * indirect jump, expensive where the CPU needs retpolines. */
INLINE void tail_call(void *ctx, u32 family)
{
	switch (family) {
#define FAMILY(i)                                                                           \
	case i:                                                                             \
		asm volatile("r1 = %[ctx]\n r2 = %[map] ll\n r3 = %[index]\n call 12"       \
			     :                                                              \
			     : [ctx] "r"(ctx), [map] "i"(&families), [index] "i"(i)         \
			     : "r0", "r1", "r2", "r3", "r4", "r5");                         \
		break;
	EACH_FAMILY(FAMILY)
#undef FAMILY
	}
}

/* i386 multiplexes the socket calls: number in the first argument, address of
 * the arguments in the second. */
#ifdef PLAIN_TAIL_CALLS
INLINE
#else
static NOINLINE
#endif
int socketcall(struct scratch *s)
{
	u32 args[8] = {};
	u32 call = s->args[0];
	/* Reading all six could leave the stack of a task that passes two. */
	static const u8 counts_of[32] = { 0, 3, 3, 3, 2, 3, 3, 3, 4, 4, 4, 6, 6, 2, 5, 5, 3, 3, 4, 5, 4 };

	if (call >= 21)
		return 0;
	s->entry = interest.socketcalls[BOUND(call, 31)];
	if (!s->entry.family)
		return 0;
	if (bpf_probe_read_user(args, 4 * (counts_of[BOUND(call, 31)] & 7), (void *)s->args[1]))
		return -1;
	for (int i = 0; i < 6; i++)
		s->args[i] = args[i];
	return 1;
}

/* A syscall returns; hook is where it was seen. */
INLINE int syscall_returns(u64 *ctx, u32 hook)
{
	struct pt_regs *regs = (void *)ctx[0];
	s64 ret = ctx[1];
	u32 nr = SYSCALL_NR(regs);
	bool narrow = false;

	if (unlikely(nr >= SYSCALLS)) {
		/* x32 has the native numbers with a bit on top, but some of its
		 * own from 512 on. */
		if ((s32)nr < 0 || !(nr & X32_BIT)) /* -1: no syscall, a signal's return */
			return 0;
		nr &= ~X32_BIT;
		if (nr >= SYSCALLS) {
			struct counters *c = counters_get();
			if (c && ret != -38 /* ENOSYS: the kernel has no x32 */)
				c->foreign++;
			return 0;
		}
	}
	union entry e = interest.syscalls[nr].native;
	union entry k = interest.syscalls[nr].compat;
	if (!(e.all | k.all))
		return 0;
	struct task_struct *task = current_task();
	if (unlikely(is_compat(task))) {
		narrow = true;
		e = k;
	}
	if (!e.all || !reports(hook, task))
		return 0;

	struct scratch *s = scratch_get();
	struct counters *c = counters_get();
	if (!s || !c)
		return 0;
	if (e.family == FAMILY_MESSAGE && !narrow && message_left_out(c, task, regs, e))
		return 0;
	if (unlikely(s->busy)) {
		c->seen++;
		count_lost(c, e.family, DROP_SCRATCH, e.category);
		s->lost++;
		return 0;
	}
	s->entry = e;
	s->ret = ret;
	read_args(s, regs, narrow);
	if (unlikely(e.family == FAMILY_SOCKETCALL)) {
		int found = socketcall(s);
		if (!found)
			return 0;
		if (found < 0) {
			c->seen++;
			count_lost(c, FAMILY_SOCKET, DROP_PAGE_FAULT, e.category);
			return 0;
		}
	}
	/* Successful execs come from the scheduler's tracepoint. */
	if (s->entry.category == LOST_EXECVE && ret >= 0)
		return 0;
	c->seen++;
	if (unlikely(timed))
		s->began = bpf_ktime_get_boot_ns();
	if (call_left_out(s, c, task))
		return 0;
	s->busy = 1;
#ifndef PLAIN_TAIL_CALLS /* else the family asks: the filter has functions */
	if (s->entry.family == FAMILY_OPEN && open_left_out(s, c, task))
		return 0;
#endif
	s->cpu = bpf_get_smp_processor_id();
	s->h.flags = narrow ? EVENT_COMPAT : 0;
	s->peer.family = s->peer.read = 0;
	look_at_open_fds(s, s->entry.kind);
	tail_call(ctx, s->entry.family);
	/* Not reached unless the family's program is missing. */
	s->busy = 0;
	count_drop(s, c, DROP_BUG, s->entry.category);
	return 0;
}

SEC("tp_btf/sys_exit")
int sys_exit(u64 *ctx)
{
	return syscall_returns(ctx, BY_SYS_EXIT);
}

/* For the functions of syscalls: their fexit context is that of sys_exit. The
 * loader attaches stubs, which jump here (functions.go). */
SEC("tp_btf/sys_exit")
int function_exit(u64 *ctx)
{
	return syscall_returns(ctx, BY_FUNCTION);
}
