/* SPDX-License-Identifier: Apache-2.0 */
/* Everything without parameters of its own: its name and number. */
#include "task.h"

SEC("tp_btf/sys_exit")
int family_misc(u64 *ctx)
{
	struct scratch *s = scratch_get();

	if (!s)
		return 0;
	begin_syscall(s, KIND_SYSCALL, SYSCALL_SLOTS);
	SLOT(s, SYSCALL_ID) = s->entry.id;
	SLOT(s, SYSCALL_NATIVEID) = s->entry.nr;
	return submit(s, s->entry.category);
}
