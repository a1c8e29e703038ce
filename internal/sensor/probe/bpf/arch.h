/* SPDX-License-Identifier: Apache-2.0 */
/* How each architecture passes the number and the arguments of a syscall. Those
 * that are named are of a call that is not of a 32-bit program. */
#pragma once
#include "record.h"

#if defined(__TARGET_ARCH_x86)

#define X32_BIT 0x40000000
#define TS_COMPAT 2

#define SYSCALL_NR(regs) ((u32)(regs)->orig_ax)

INLINE bool is_compat(struct task_struct *task)
{
	return READ(task, thread_info.status) & TS_COMPAT;
}

#define FIRST_ARG(regs) ((regs)->di)
#define THIRD_ARG(regs) ((regs)->dx)
#define FOURTH_ARG(regs) ((regs)->r10)

INLINE void read_args(struct scratch *s, struct pt_regs *regs, bool narrow)
{
	if (narrow) {
		s->args[0] = (u32)regs->bx;
		s->args[1] = (u32)regs->cx;
		s->args[2] = (u32)regs->dx;
		s->args[3] = (u32)regs->si;
		s->args[4] = (u32)regs->di;
		s->args[5] = (u32)regs->bp;
		return;
	}
	s->args[0] = regs->di;
	s->args[1] = regs->si;
	s->args[2] = regs->dx;
	s->args[3] = regs->r10;
	s->args[4] = regs->r8;
	s->args[5] = regs->r9;
}

#elif defined(__TARGET_ARCH_arm64)

#define X32_BIT 0
#define TIF_32BIT 22

#define SYSCALL_NR(regs) ((u32)(regs)->syscallno)

INLINE bool is_compat(struct task_struct *task)
{
	return READ(task, thread_info.flags) & (1 << TIF_32BIT);
}

#define FIRST_ARG(regs) ((regs)->orig_x0) /* regs[0] is the result by now */
#define THIRD_ARG(regs) ((regs)->regs[2])
#define FOURTH_ARG(regs) ((regs)->regs[3])

INLINE void read_args(struct scratch *s, struct pt_regs *regs, bool narrow)
{
	u64 mask = narrow ? 0xffffffff : ~0ull;

	s->args[0] = FIRST_ARG(regs) & mask;
	s->args[1] = regs->regs[1] & mask;
	s->args[2] = regs->regs[2] & mask;
	s->args[3] = regs->regs[3] & mask;
	s->args[4] = regs->regs[4] & mask;
	s->args[5] = regs->regs[5] & mask;
}

#endif
