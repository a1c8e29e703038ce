/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings of memory. */
#include "file.h"
#include "flags.h"
#include "shapes.h"

/* vm_size, vm_rss, vm_swap from a slot on. */
INLINE void put_mem(struct scratch *s, u32 slot, struct task_struct *task)
{
	struct mem_use m = mm_use(READ(task, mm));
	s->slots[slot] = m.size;
	s->slots[slot + 1] = m.rss;
	s->slots[slot + 2] = m.swap;
}

SEC("tp_btf/sys_exit")
int family_memory(void)
{
	struct scratch *s = scratch_get();
	struct task_struct *task = current_task();

	if (!s)
		return 0;
	switch (s->entry.kind) {
	case KIND_BRK:
		BEGIN(BRK);
		SLOT(s, BRK_RES) = s->ret;
		put_mem(s, BRK_VM_SIZE, task);
		SLOT(s, BRK_ADDR) = s->args[0];
		break;
	case KIND_MMAP:
		BEGIN(MMAP);
		SLOT(s, MMAP_RES) = s->ret;
		put_mem(s, MMAP_VM_SIZE, task);
		SLOT(s, MMAP_ADDR) = s->args[0];
		SLOT(s, MMAP_LENGTH) = s->args[1];
		SLOT(s, MMAP_PROT) = prot_flags(s->args[2]);
		SLOT(s, MMAP_FLAGS) = mmap_flags(s->args[3]);
		SLOT(s, MMAP_FD) = (s32)s->args[4];
		SLOT(s, MMAP_OFFSET) = s->args[5];
		put_fd(s, MMAP_FILE, s->args[4]);
		break;
	case KIND_MUNMAP:
		BEGIN(MUNMAP);
		SLOT(s, MUNMAP_RES) = s->ret;
		put_mem(s, MUNMAP_VM_SIZE, task);
		SLOT(s, MUNMAP_ADDR) = s->args[0];
		SLOT(s, MUNMAP_LENGTH) = s->args[1];
		break;
	case KIND_MPROTECT:
		NUMBERS_EVENT(MPROTECT, 2);
		SLOT(s, MPROTECT_PROT) = prot_flags(s->args[2]);
		break;
	case KIND_MLOCK:
		NUMBERS_EVENT(MLOCK, 2);
		break;
	case KIND_MUNLOCK:
		NUMBERS_EVENT(MUNLOCK, 2);
		break;
	case KIND_MLOCK2:
		NUMBERS_EVENT(MLOCK2, 3);
		break;
	case KIND_MLOCKALL:
		NUMBERS_EVENT(MLOCKALL, 1);
		break;
	case KIND_MUNLOCKALL:
		NUMBERS_EVENT(MUNLOCKALL, 0);
		break;
	default:
		return wrong_family(s);
	}
	return finish(s);
}
