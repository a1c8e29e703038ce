/* SPDX-License-Identifier: Apache-2.0 */
/* Who a process is and what it may do: ids, capabilities, namespaces, limits. */
#include "payload.h"
#include "flags.h"
#include "exe.h"
#include "shapes.h"

/* res, then n ids as they were given. */
#define SET_IDS_EVENT(K, n)                                                                             \
	do {                                                                                            \
		begin_syscall(s, KIND_##K, K##_SLOTS);                                            \
		SLOT(s, 0) = s->ret;                                                                    \
		for (int i = 0; i < n; i++)                                                             \
			SLOT(s, 1 + i) = (u32)s->args[i];                                               \
		put_caps(s, task, K##_CUR_INHERITABLE, K##_CUR_PERMITTED, K##_CUR_EFFECTIVE);           \
	} while (0)

/* Three ids through pointers. */
INLINE void put_three_ids(struct scratch *s)
{
	SLOT(s, GETRESUID_RES) = s->ret;
	SLOT(s, GETRESUID_RUID) = user_word(s->args[0], true);
	SLOT(s, GETRESUID_EUID) = user_word(s->args[1], true);
	SLOT(s, GETRESUID_SUID) = user_word(s->args[2], true);
}

struct limit {
	s64 cur, max;
};

INLINE struct limit read_limit(struct scratch *s, u64 addr)
{
	struct limit l = { -1, -1 };

	if (!addr)
		return l;
	if (s->h.flags & EVENT_COMPAT) {
		u32 w[2] = {};
		bpf_probe_read_user(w, sizeof(w), (void *)addr);
		l.cur = w[0] == (u32)-1 ? -1 : w[0];
		l.max = w[1] == (u32)-1 ? -1 : w[1];
	} else {
		bpf_probe_read_user(&l, sizeof(l), (void *)addr);
	}
	return l;
}

#define RLIMITS 16
#define RLIMIT_UNKNOWN 255

INLINE u32 limit_resource(u64 resource)
{
	return resource < RLIMITS ? resource : RLIMIT_UNKNOWN;
}

INLINE bool put_limits(struct scratch *s)
{
	struct limit l, old;

	switch (s->entry.kind) {
	case KIND_GETRLIMIT:
	case KIND_SETRLIMIT:
		begin_syscall(s, s->entry.kind, GETRLIMIT_SLOTS);
		l = read_limit(s, s->ret >= 0 || s->entry.kind == KIND_SETRLIMIT ? s->args[1] : 0);
		SLOT(s, GETRLIMIT_RES) = s->ret;
		SLOT(s, GETRLIMIT_CUR) = l.cur;
		SLOT(s, GETRLIMIT_MAX) = l.max;
		SLOT(s, GETRLIMIT_RESOURCE) = limit_resource(s->args[0]);
		return true;
	case KIND_PRLIMIT:
		BEGIN(PRLIMIT);
		s->h.flags &= ~EVENT_COMPAT; /* prlimit64 has 64-bit limits everywhere */
		l = read_limit(s, s->args[2]);
		old = read_limit(s, s->ret >= 0 ? s->args[3] : 0);
		SLOT(s, PRLIMIT_RES) = s->ret;
		SLOT(s, PRLIMIT_NEWCUR) = l.cur;
		SLOT(s, PRLIMIT_NEWMAX) = l.max;
		SLOT(s, PRLIMIT_OLDCUR) = old.cur;
		SLOT(s, PRLIMIT_OLDMAX) = old.max;
		SLOT(s, PRLIMIT_PID) = (s32)s->args[0];
		SLOT(s, PRLIMIT_RESOURCE) = limit_resource(s->args[1]);
		return true;
	}
	return false;
}

/* The session and groups after the call. */
#define PUT_GROUPS(K, PGID)                                                                   \
	do {                                                                                  \
		SLOT(s, K##_SID) = pid_vnr(signal_pid(task, PIDTYPE_SID));                    \
		SLOT(s, PGID) = pid_nr(signal_pid(task, PIDTYPE_PGID));                       \
		SLOT(s, K##_VPGID) = pid_vnr(signal_pid(task, PIDTYPE_PGID));                 \
	} while (0)

SEC("tp_btf/sys_exit")
int family_cred(void)
{
	struct scratch *s = scratch_get();
	struct task_struct *task = current_task();

	if (!s)
		return 0;
	switch (s->entry.kind) {
	case KIND_SETUID:
		SET_IDS_EVENT(SETUID, 1);
		break;
	case KIND_SETGID:
		SET_IDS_EVENT(SETGID, 1);
		break;
	case KIND_SETREUID:
		SET_IDS_EVENT(SETREUID, 2);
		break;
	case KIND_SETREGID:
		SET_IDS_EVENT(SETREGID, 2);
		break;
	case KIND_SETRESUID:
		SET_IDS_EVENT(SETRESUID, 3);
		break;
	case KIND_SETRESGID:
		SET_IDS_EVENT(SETRESGID, 3);
		break;
	case KIND_GETUID:
	case KIND_GETEUID:
	case KIND_GETGID:
	case KIND_GETEGID:
		begin_syscall(s, s->entry.kind, GETUID_SLOTS);
		SLOT(s, GETUID_UID) = (u32)s->ret;
		break;
	case KIND_GETRESUID:
	case KIND_GETRESGID:
		begin_syscall(s, s->entry.kind, GETRESUID_SLOTS);
		put_three_ids(s);
		break;
	case KIND_CAPSET:
		BEGIN(CAPSET);
		SLOT(s, CAPSET_RES) = s->ret;
		put_caps(s, task, CAPSET_CAP_INHERITABLE, CAPSET_CAP_PERMITTED, CAPSET_CAP_EFFECTIVE);
		put_caps(s, task, CAPSET_CUR_INHERITABLE, CAPSET_CUR_PERMITTED, CAPSET_CUR_EFFECTIVE);
		break;
	case KIND_UNSHARE:
		BEGIN(UNSHARE);
		SLOT(s, UNSHARE_RES) = s->ret;
		SLOT(s, UNSHARE_FLAGS) = clone_flags(s->args[0]);
		put_caps(s, task, UNSHARE_CUR_INHERITABLE, UNSHARE_CUR_PERMITTED, UNSHARE_CUR_EFFECTIVE);
		break;
	case KIND_SETNS:
		FD_EVENT(SETNS);
		SLOT(s, SETNS_NSTYPE) = clone_flags(s->args[1]);
		put_caps(s, task, SETNS_CUR_INHERITABLE, SETNS_CUR_PERMITTED, SETNS_CUR_EFFECTIVE);
		break;
	case KIND_SETSID:
		BEGIN(SETSID);
		SLOT(s, SETSID_RES) = s->ret;
		PUT_GROUPS(SETSID, SETSID_PGID);
		break;
	case KIND_SETPGID:
		BEGIN(SETPGID);
		SLOT(s, SETPGID_RES) = s->ret;
		SLOT(s, SETPGID_PID) = (s32)s->args[0];
		SLOT(s, SETPGID_PGID) = (s32)s->args[1];
		PUT_GROUPS(SETPGID, SETPGID_CUR_PGID);
		break;
	default:
		if (!put_limits(s))
			return wrong_family(s);
	}
	return finish(s);
}
_Static_assert(GETRESGID_SLOTS == GETRESUID_SLOTS && SETRLIMIT_SLOTS == GETRLIMIT_SLOTS && GETEGID_SLOTS == GETUID_SLOTS, "user");
