/* SPDX-License-Identifier: Apache-2.0 */
/* What tasks do to each other and to the kernel: signals, ptrace, modules,
 * keys, semaphores. */
#include "file.h"
#include "flags.h"
#include "payload.h"
#include "shapes.h"

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

INLINE void put_semget(struct scratch *s)
{
	SLOT(s, SEMGET_RES) = s->ret;
	SLOT(s, SEMGET_KEY) = (s32)s->args[0];
	SLOT(s, SEMGET_NSEMS) = (s32)s->args[1];
	/* IPC_CREAT, IPC_EXCL */
	SLOT(s, SEMGET_SEMFLG) = (s->args[2] & 01000 ? 0x2000 : 0) | (s->args[2] & 02000 ? 0x4000 : 0);
}

INLINE void put_semctl(struct scratch *s)
{
	SLOT(s, SEMCTL_RES) = s->ret;
	SLOT(s, SEMCTL_SEMID) = (s32)s->args[0];
	SLOT(s, SEMCTL_SEMNUM) = (s32)s->args[1];
	SLOT(s, SEMCTL_CMD) = semctl_cmd(s->args[2]);
	if (s->args[2] == 16 /* SETVAL */)
		SLOT(s, SEMCTL_VAL) = (s32)s->args[3];
}

INLINE void put_semop(struct scratch *s)
{
	/* struct sembuf: num, op, flg, of 16 bits each */
	u16 b[6] = {};
	u64 n = s->args[2] >= 2 ? 12 : s->args[2] ? 6 : 0;

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
}

INLINE void put_kill(struct scratch *s)
{
	SLOT(s, 0) = s->ret;
	SLOT(s, 1) = (s32)s->args[0];
	SLOT(s, 2) = (u8)s->args[1];
}
_Static_assert(KILL_PID == 1 && KILL_SIG == 2 && TKILL_TID == 1 && TKILL_SIG == 2, "kill");

INLINE void put_init_module(struct scratch *s)
{
	SLOT(s, INIT_MODULE_RES) = s->ret;
	put_data(s, INIT_MODULE_IMG, s->args[0], s->args[1]);
	SLOT(s, INIT_MODULE_LENGTH) = s->args[1];
	put_user_str(s, INIT_MODULE_UARGS, s->args[2]);
}

INLINE void put_delete_module(struct scratch *s)
{
	SLOT(s, DELETE_MODULE_RES) = s->ret;
	put_user_str(s, DELETE_MODULE_NAME, s->args[0]);
	SLOT(s, DELETE_MODULE_FLAGS) = delete_module_flags(s->args[1]);
}

SEC("tp_btf/sys_exit")
int family_control(void)
{
	struct scratch *s = scratch_get();

	if (!s)
		return 0;
	switch (s->entry.kind) {
	case KIND_KILL:
		BEGIN(KILL);
		put_kill(s);
		break;
	case KIND_TKILL:
		BEGIN(TKILL);
		put_kill(s);
		break;
	case KIND_TGKILL:
		BEGIN(TGKILL);
		SLOT(s, TGKILL_RES) = s->ret;
		SLOT(s, TGKILL_PID) = (s32)s->args[0];
		SLOT(s, TGKILL_TID) = (s32)s->args[1];
		SLOT(s, TGKILL_SIG) = (u8)s->args[2];
		break;
	case KIND_PTRACE:
		BEGIN(PTRACE);
		put_ptrace(s);
		break;
	case KIND_PRCTL:
		BEGIN(PRCTL);
		put_prctl(s);
		break;
	case KIND_SECCOMP:
		NUMBERS_EVENT(SECCOMP, 2);
		break;
	case KIND_INIT_MODULE:
		BEGIN(INIT_MODULE);
		put_init_module(s);
		break;
	case KIND_FINIT_MODULE:
		FD_EVENT(FINIT_MODULE);
		put_user_str(s, FINIT_MODULE_UARGS, s->args[1]);
		SLOT(s, FINIT_MODULE_FLAGS) = (u32)s->args[2];
		break;
	case KIND_DELETE_MODULE:
		BEGIN(DELETE_MODULE);
		put_delete_module(s);
		break;
	case KIND_PROCESS_VM_READV:
	case KIND_PROCESS_VM_WRITEV:
		begin_syscall(s, s->entry.kind, PROCESS_VM_READV_SLOTS);
		SLOT(s, PROCESS_VM_READV_RES) = s->ret;
		SLOT(s, PROCESS_VM_READV_PID) = (s32)s->args[0];
		put_iov(s, PROCESS_VM_READV_DATA, s->args[1], s->args[2], s->ret);
		break;
	case KIND_KEYCTL:
		BEGIN(KEYCTL);
		put_keyctl(s);
		break;
	case KIND_SEMGET:
		BEGIN(SEMGET);
		put_semget(s);
		break;
	case KIND_SEMCTL:
		BEGIN(SEMCTL);
		put_semctl(s);
		break;
	case KIND_SEMOP:
		BEGIN(SEMOP);
		put_semop(s);
		break;
	default:
		return wrong_family(s);
	}
	return finish(s);
}
_Static_assert(PROCESS_VM_WRITEV_SLOTS == PROCESS_VM_READV_SLOTS, "process_vm");
