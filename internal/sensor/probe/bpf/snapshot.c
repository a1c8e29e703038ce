/* SPDX-License-Identifier: Apache-2.0 */
/* All existing processes, as task events for the reader of the
 * iterator. It may sleep, and so can bring in the memory of other tasks. */
#include "exe.h"

/* A buffer of its own: other programs run on the same CPU meanwhile. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} snapshot SEC(".maps");

#ifdef LEGACY
#define ITER_TASK "iter/task"
/* Kernels before 5.18 cannot read another task's memory: /proc has it. */
#define COPY_FROM_TASK(dst, n, addr, task) ((void)(task), -1)
#else
#define ITER_TASK "iter.s/task"
#define COPY_FROM_TASK(dst, n, addr, task) bpf_copy_from_user_task(dst, n, (void *)(addr), task, 0)
#endif

/* The strings from start to end, 4096 bytes at most. */
#define PUT_TASK_STRINGS(slot, start, end)                                                      \
	do {                                                                                    \
		u64 _n = (end) - (start);                                                       \
		if (!_n || (start) > (end) || tail_full(s))                                     \
			break;                                                                  \
		if (_n > PART_MAX) {                                                            \
			_n = PART_MAX;                                                          \
			s->h.flags |= EVENT_TRUNCATED;                                          \
		}                                                                               \
		char *_at = tail(s);                                                            \
		if (COPY_FROM_TASK(_at, BOUND(_n, 2 * PART_MAX - 1), start, trusted))              \
			break;                                                                  \
		_at[(_n - 1) & PATH_MASK] = 0;                                                  \
		tail_commit(s, slot, _n);                                                       \
	} while (0)

/* The arguments. A program that names itself, as nginx and PostgreSQL do, writes
 * over them, their last NUL included, and on into its environment: they are then
 * one string (get_mm_cmdline and get_mm_proctitle, fs/proc/base.c). */
INLINE void put_task_args(struct scratch *s, struct task_struct *trusted, struct mm_struct *mm)
{
	u64 start = READ(mm, arg_start), end = READ(mm, arg_end), n = READ(mm, env_end) - start;
	char last = 0;

	if (start < end && end - start <= n)
		COPY_FROM_TASK(&last, 1, end - 1, trusted);
	if (!last) {
		PUT_TASK_STRINGS(TASK_ARGV, start, end);
		return;
	}
	if (tail_full(s))
		return;
	if (n > PART_MAX)
		n = PART_MAX;
	char *at = tail(s);
	if (COPY_FROM_TASK(at, BOUND(n, 2 * PART_MAX - 1), start, trusted))
		return;
	at[(n - 1) & PATH_MASK] = 0;
	long title = bpf_probe_read_kernel_str(s->path, PART_MAX, at);
	if (title > 0)
		tail_commit(s, TASK_ARGV, title);
}

SEC(ITER_TASK)
int iter_task(struct bpf_iter__task *ctx)
{
	struct task_struct *trusted = ctx->task, *task = AS(struct task_struct, trusted);
	u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&snapshot, &zero);

	if (!trusted || !s || READ(task, pid) != READ(task, tgid))
		return 0;
	s->cpu = bpf_get_smp_processor_id();
	s->h.lost = 0;
	header_of_task(s, task, KIND_TASK);
	slots_clear(s, TASK_SLOTS);

	struct mm_struct *mm = READ(task, mm);
	struct mem_use mem = mm_use(mm);
	u64 exe_file = mm ? LOAD64(&mm->exe_file) : 0;
	struct exe exe = exe_facts(task, exe_file);
	struct task_struct *parent = READ(task, real_parent);
	struct task_struct *parent_leader = READ(parent, group_leader);
	struct signal_struct *signal = READ(task, signal);

	SLOT(s, TASK_PPID) = s->h.ppid;
	SLOT(s, TASK_PGID) = pid_nr(signal_pid(task, PIDTYPE_PGID));
	SLOT(s, TASK_VPGID) = pid_vnr(signal_pid(task, PIDTYPE_PGID));
	SLOT(s, TASK_SID) = pid_vnr(signal_pid(task, PIDTYPE_SID));
	SLOT(s, TASK_FLAGS) = exe.flags;
	SLOT(s, TASK_FDLIMIT) = fd_limit(task);
	SLOT(s, TASK_EUID) = s->h.uid;
	SLOT(s, TASK_EGID) = s->h.gid;
	put_caps(s, task, TASK_CAP_INHERITABLE, TASK_CAP_PERMITTED, TASK_CAP_EFFECTIVE);
	SLOT(s, TASK_EXE_INO_NUM) = exe.ino;
	SLOT(s, TASK_EXE_INO_CTIME) = exe.times.ctime;
	SLOT(s, TASK_EXE_INO_MTIME) = exe.times.mtime;
	SLOT(s, TASK_VM_SIZE) = mem.size;
	SLOT(s, TASK_VM_RSS) = mem.rss;
	SLOT(s, TASK_VM_SWAP) = mem.swap;
	SLOT(s, TASK_PGFT_MAJ) = READ(task, maj_flt);
	SLOT(s, TASK_PGFT_MIN) = READ(task, min_flt);
	SLOT(s, TASK_VTGID) = s->h.vtid;
	SLOT(s, TASK_VPID) = s->h.vtid;
	SLOT(s, TASK_PIDNS_INIT_START_TS) = pid_ns_start(task) + boot_epoch;
	SLOT(s, TASK_START_TIME) = s->h.start + boot_epoch;
	SLOT(s, TASK_TTY) = task_tty(task);
	SLOT(s, TASK_LOGINUID) = s->h.login_uid;
	SLOT(s, TASK_START) = s->h.start;
	SLOT(s, TASK_PSTART) = READ(parent_leader, start_boottime);
	SLOT(s, TASK_PIDNS) = s->h.pid_ns;
	SLOT(s, TASK_MNTNS) = s->h.mnt_ns;
	SLOT(s, TASK_CGROUP) = s->h.cgroup;
	SLOT(s, TASK_NTHREADS) = READ(signal, nr_threads);

	long n = bpf_probe_read_kernel_str(tail(s), 16, &task->comm);
	if (n > 0)
		tail_commit(s, TASK_COMM, n - 1);
	if (mm) {
		u64 start = READ(mm, env_start), end = READ(mm, env_end);
		put_task_args(s, trusted, mm);
		PUT_TASK_STRINGS(TASK_ENV, start, end);
		put_file_path(s, TASK_EXEPATH, exe_file);
	}
	put_fs_path(s, TASK_CWD, LOAD64(&task->fs), FIELD_OFFSET(struct fs_struct, pwd));
	put_fs_path(s, TASK_ROOT, LOAD64(&task->fs), FIELD_OFFSET(struct fs_struct, root));
	u64 groups = LOAD64(&task->cgroups);
	put_cgroups(s, TASK_CGROUPS, groups);
	put_cgroup_set(s, TASK_CGROUP_SET, groups);

	u32 len = (s->len + 7) & ~7;
	if (len > BODY_MASK)
		return 0;
	s->h.len = len;
	bpf_seq_write(ctx->meta->seq, s->buf, BOUND(len, BODY_MASK));
	return 0;
}
