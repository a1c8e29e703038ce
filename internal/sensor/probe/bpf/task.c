/* SPDX-License-Identifier: Apache-2.0 */
/* What tasks do to each other, to memory and to the kernel: signals, ptrace,
 * mappings, modules, keys. */
#include "data.h"
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

/* res and n arguments as they are. */
#define NUMBERS_EVENT(K, n)                                                \
	do {                                                               \
		begin_syscall(s, KIND_##K, K##_SLOTS);               \
		SLOT(s, 0) = s->ret;                                       \
		for (int i = 0; i < n; i++)                                \
			SLOT(s, 1 + i) = s->args[i];                       \
	} while (0)

SEC("tp_btf/sys_exit")
int family_memory(u64 *ctx)
{
	struct scratch *s = scratch_get();
	struct task_struct *task = current_task();

	if (!s)
		return 0;
	switch (s->entry.kind) {
	case KIND_BRK:
		begin_syscall(s, KIND_BRK, BRK_SLOTS);
		SLOT(s, BRK_RES) = s->ret;
		put_mem(s, BRK_VM_SIZE, task);
		SLOT(s, BRK_ADDR) = s->args[0];
		break;
	case KIND_MMAP:
		begin_syscall(s, KIND_MMAP, MMAP_SLOTS);
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
		begin_syscall(s, KIND_MUNMAP, MUNMAP_SLOTS);
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
	}
	return submit(s, s->entry.category);
}

/* addr is a number; data a number, a signal, or what was read. */
INLINE void put_ptrace(struct scratch *s)
{
	u64 request = s->args[0], data = s->args[3];
	u8 type = TYPE_UINT64;

	SLOT(s, PTRACE_RES) = s->ret;
	SLOT(s, PTRACE_REQUEST) = ptrace_request(request);
	SLOT(s, PTRACE_PID) = (s32)s->args[1];
	switch (request) {
	case 1: /* PEEKTEXT, PEEKDATA, PEEKUSR: the kernel's call stores the word */
	case 2:
	case 3:
		data = s->ret >= 0 ? user_word(data, s->h.flags & EVENT_COMPAT) : 0;
		break;
	case 7: /* CONT, SINGLESTEP, DETACH, SYSCALL: a signal to deliver */
	case 9:
	case 17:
	case 24:
		type = TYPE_SIGTYPE;
		break;
	}
	put_dyn(s, PTRACE_ADDR, TYPE_UINT64, s->args[2]);
	put_dyn(s, PTRACE_DATA, type, data);
}

#define PR_SET_NAME 15
#define PR_GET_NAME 16
#define PR_GET_CHILD_SUBREAPER 37

INLINE void put_prctl(struct scratch *s)
{
	SLOT(s, PRCTL_RES) = s->ret;
	SLOT(s, PRCTL_OPTION) = (u32)s->args[0];
	switch (s->args[0]) {
	case PR_SET_NAME:
	case PR_GET_NAME:
		put_user_str(s, PRCTL_ARG2_STR, s->args[1]);
		break;
	case PR_GET_CHILD_SUBREAPER:
		SLOT(s, PRCTL_ARG2_INT) = (s32)user_word(s->args[1], true);
		break;
	default:
		SLOT(s, PRCTL_ARG2_INT) = s->args[1];
	}
}

#define FSCONFIG_SET_FLAG 0
#define FSCONFIG_SET_STRING 1
#define FSCONFIG_SET_BINARY 2
#define FSCONFIG_SET_PATH 3
#define FSCONFIG_SET_PATH_EMPTY 4
#define FSCONFIG_SET_FD 5

INLINE void put_fsconfig(struct scratch *s)
{
	u32 cmd = s->args[1];

	SLOT(s, FSCONFIG_CMD) = cmd;
	SLOT(s, FSCONFIG_AUX) = (s32)s->args[4];
	if (cmd <= FSCONFIG_SET_FD)
		put_user_str(s, FSCONFIG_KEY, s->args[2]);
	if (cmd == FSCONFIG_SET_BINARY)
		put_data(s, FSCONFIG_VALUE_BYTEBUF, s->args[3], (u32)s->args[4]);
	if (cmd == FSCONFIG_SET_STRING || cmd == FSCONFIG_SET_PATH || cmd == FSCONFIG_SET_PATH_EMPTY)
		put_user_str(s, FSCONFIG_VALUE_CHARBUF, s->args[3]);
}

/* Keyrings: numbers mostly; the description of a key where one is given. */
INLINE void put_keyctl(struct scratch *s)
{
	SLOT(s, KEYCTL_RES) = s->ret;
	SLOT(s, KEYCTL_OPERATION) = (u32)s->args[0];
	put_dyn(s, KEYCTL_ARG2, TYPE_UINT64, s->args[1]);
	put_dyn(s, KEYCTL_ARG3, TYPE_UINT64, s->args[2]);
	put_dyn(s, KEYCTL_ARG4, TYPE_UINT64, s->args[3]);
	put_dyn(s, KEYCTL_ARG5, TYPE_UINT64, s->args[4]);
}

INLINE u64 user_time(struct scratch *s, u64 addr)
{
	u64 t[2] = {};

	if (s->h.flags & EVENT_COMPAT) {
		u32 w[2] = {};
		bpf_probe_read_user(w, sizeof(w), (void *)addr);
		t[0] = w[0];
		t[1] = w[1];
	} else {
		bpf_probe_read_user(t, sizeof(t), (void *)addr);
	}
	return t[0] * 1000000000 + t[1];
}

SEC("tp_btf/sys_exit")
int family_task(u64 *ctx)
{
	struct scratch *s = scratch_get();

	if (!s)
		return 0;
	switch (s->entry.kind) {
	case KIND_KILL:
		begin_syscall(s, KIND_KILL, KILL_SLOTS);
		SLOT(s, KILL_RES) = s->ret;
		SLOT(s, KILL_PID) = (s32)s->args[0];
		SLOT(s, KILL_SIG) = (u8)s->args[1];
		break;
	case KIND_TKILL:
		begin_syscall(s, KIND_TKILL, TKILL_SLOTS);
		SLOT(s, TKILL_RES) = s->ret;
		SLOT(s, TKILL_TID) = (s32)s->args[0];
		SLOT(s, TKILL_SIG) = (u8)s->args[1];
		break;
	case KIND_TGKILL:
		begin_syscall(s, KIND_TGKILL, TGKILL_SLOTS);
		SLOT(s, TGKILL_RES) = s->ret;
		SLOT(s, TGKILL_PID) = (s32)s->args[0];
		SLOT(s, TGKILL_TID) = (s32)s->args[1];
		SLOT(s, TGKILL_SIG) = (u8)s->args[2];
		break;
	case KIND_PTRACE:
		begin_syscall(s, KIND_PTRACE, PTRACE_SLOTS);
		put_ptrace(s);
		break;
	case KIND_PRCTL:
		begin_syscall(s, KIND_PRCTL, PRCTL_SLOTS);
		put_prctl(s);
		break;
	case KIND_SECCOMP:
		NUMBERS_EVENT(SECCOMP, 2);
		break;
	case KIND_NANOSLEEP:
		begin_syscall(s, KIND_NANOSLEEP, NANOSLEEP_SLOTS);
		SLOT(s, NANOSLEEP_RES) = s->ret;
		SLOT(s, NANOSLEEP_INTERVAL) = user_time(s, s->args[0]);
		break;
	case KIND_FUTEX:
		begin_syscall(s, KIND_FUTEX, FUTEX_SLOTS);
		SLOT(s, FUTEX_RES) = s->ret;
		SLOT(s, FUTEX_ADDR) = s->args[0];
		SLOT(s, FUTEX_OP) = (u32)s->args[1] & 0x1ff;
		SLOT(s, FUTEX_VAL) = (u32)s->args[2];
		break;
	case KIND_INIT_MODULE:
		begin_syscall(s, KIND_INIT_MODULE, INIT_MODULE_SLOTS);
		SLOT(s, INIT_MODULE_RES) = s->ret;
		put_data(s, INIT_MODULE_IMG, s->args[0], s->args[1]);
		SLOT(s, INIT_MODULE_LENGTH) = s->args[1];
		put_user_str(s, INIT_MODULE_UARGS, s->args[2]);
		break;
	case KIND_FINIT_MODULE:
		FD_EVENT(FINIT_MODULE);
		put_user_str(s, FINIT_MODULE_UARGS, s->args[1]);
		SLOT(s, FINIT_MODULE_FLAGS) = (u32)s->args[2];
		break;
	case KIND_DELETE_MODULE:
		begin_syscall(s, KIND_DELETE_MODULE, DELETE_MODULE_SLOTS);
		SLOT(s, DELETE_MODULE_RES) = s->ret;
		put_user_str(s, DELETE_MODULE_NAME, s->args[0]);
		SLOT(s, DELETE_MODULE_FLAGS) = delete_module_flags(s->args[1]);
		break;
	case KIND_PROCESS_VM_READV:
	case KIND_PROCESS_VM_WRITEV:
		begin_syscall(s, s->entry.kind, PROCESS_VM_READV_SLOTS);
		SLOT(s, PROCESS_VM_READV_RES) = s->ret;
		SLOT(s, PROCESS_VM_READV_PID) = (s32)s->args[0];
		put_iov(s, PROCESS_VM_READV_DATA, s->args[1], s->args[2], s->ret);
		break;
	case KIND_FSCONFIG:
		FD_EVENT(FSCONFIG);
		put_fsconfig(s);
		break;
	case KIND_KEYCTL:
		begin_syscall(s, KIND_KEYCTL, KEYCTL_SLOTS);
		put_keyctl(s);
		break;
	case KIND_SEMGET:
		begin_syscall(s, KIND_SEMGET, SEMGET_SLOTS);
		SLOT(s, SEMGET_RES) = s->ret;
		SLOT(s, SEMGET_KEY) = (s32)s->args[0];
		SLOT(s, SEMGET_NSEMS) = (s32)s->args[1];
		/* IPC_CREAT, IPC_EXCL */
		SLOT(s, SEMGET_SEMFLG) = (s->args[2] & 01000 ? 0x2000 : 0) | (s->args[2] & 02000 ? 0x4000 : 0);
		break;
	case KIND_SEMCTL:
		begin_syscall(s, KIND_SEMCTL, SEMCTL_SLOTS);
		SLOT(s, SEMCTL_RES) = s->ret;
		SLOT(s, SEMCTL_SEMID) = (s32)s->args[0];
		SLOT(s, SEMCTL_SEMNUM) = (s32)s->args[1];
		SLOT(s, SEMCTL_CMD) = semctl_cmd(s->args[2]);
		if (s->args[2] == 16 /* SETVAL */)
			SLOT(s, SEMCTL_VAL) = (s32)s->args[3];
		break;
	case KIND_SEMOP: {
		/* struct sembuf: num, op, flg, of 16 bits each */
		u16 b[6] = {};
		u64 n = s->args[2] >= 2 ? 12 : s->args[2] ? 6 : 0;
		begin_syscall(s, KIND_SEMOP, SEMOP_SLOTS);
		if (n && bpf_probe_read_user(b, n, (void *)s->args[1]))
			count_fault();
		SLOT(s, SEMOP_RES) = s->ret;
		SLOT(s, SEMOP_NSOPS) = (u32)s->args[2];
		SLOT(s, SEMOP_SEM_NUM_0) = b[0];
		SLOT(s, SEMOP_SEM_OP_0) = (s16)b[1];
		SLOT(s, SEMOP_SEM_FLG_0) = (b[2] & 04000 ? 1 : 0) | (b[2] & 0x1000 ? 2 : 0);
		SLOT(s, SEMOP_SEM_NUM_1) = b[3];
		SLOT(s, SEMOP_SEM_OP_1) = (s16)b[4];
		SLOT(s, SEMOP_SEM_FLG_1) = (b[5] & 04000 ? 1 : 0) | (b[5] & 0x1000 ? 2 : 0);
		SLOT(s, SEMOP_SEMID) = (s32)s->args[0];
		break;
	}
	}
	return submit(s, s->entry.category);
}
_Static_assert(PROCESS_VM_WRITEV_SLOTS == PROCESS_VM_READV_SLOTS, "process_vm");
