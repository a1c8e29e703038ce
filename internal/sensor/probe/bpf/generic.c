/* SPDX-License-Identifier: Apache-2.0 */
/* Syscalls without parameters of their own: its name and number. */
#include "task.h"
#include "submit.h"

SEC("tp_btf/sys_exit")
int family_generic(void)
{
	struct scratch *s = scratch_get();

	if (!s)
		return 0;
	BEGIN(SYSCALL);
	SLOT(s, SYSCALL_ID) = s->entry.id;
	SLOT(s, SYSCALL_NATIVEID) = s->entry.nr;
	return submit(s, s->entry.category);
}
