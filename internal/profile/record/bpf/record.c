/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts the syscalls of all tasks, and looks at a few of them more closely.
 * What every syscall pays for is one addition in memory of its CPU; samples are
 * bounded in number, per CPU and window of 100 ms.
 *
 * Arguments of tp_btf programs are pointers that the verifier knows, so that
 * fields are loaded with plain instructions on all kernels since 5.5.
 */
#include "bpf.h"

char __license[] SEC("license") = "Dual MIT/GPL"; /* helpers that read memory need GPL */

#define NUMBERS 512
#define OTHER (NUMBERS - 1) /* 32-bit tasks, x32, what no table knows */
#define MAX_ERRNO 4095
#define EINPROGRESS 115

#if defined(__TARGET_ARCH_x86)
#define NUMBER(regs) ((u32)(regs)->orig_ax)
#define ARG0(regs) ((regs)->di)
#define ARG1(regs) ((regs)->si)
#define ARG2(regs) ((regs)->dx)
#define IS_COMPAT(info) ((info).status & 2 /* TS_COMPAT */)
#elif defined(__TARGET_ARCH_arm64)
#define NUMBER(regs) ((u32)(regs)->syscallno)
#define ARG0(regs) ((regs)->orig_x0) /* regs[0] is the result by now */
#define ARG1(regs) ((regs)->regs[1])
#define ARG2(regs) ((regs)->regs[2])
#define IS_COMPAT(info) ((info).flags & (1 << 22) /* TIF_32BIT */)
#endif

#define BPF_MAP_TYPE_PERCPU_ARRAY 6

static u64 (*const bpf_get_current_task_btf)(void) = (void *)158;
static void *(*const bpf_ringbuf_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;

/* Fields that the sensor's probe has no use for. */
struct linux_binprm___args {
	int argc;
} __attribute__((preserve_access_index));

struct signal_struct___exit {
	unsigned int flags;
} __attribute__((preserve_access_index));

#define SIGNAL_GROUP_EXIT 4 /* include/linux/sched/signal.h */

/* What counts: in containers or not, failed or not, by number. */
struct counts {
	u64 calls[2][2][NUMBERS];
	u64 forks[2], threads[2], execs[2], exits[2], thread_exits[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct counts);
} counts SEC(".maps");

/* What is looked at: the facts of a syscall's arguments, by number. */
enum facts { NO_FACTS, PATH_0, PATH_1, SOCKET, ADDRESS_1, EXEC, EXIT, CLONE };
#define FACTS 0x7f
/* Besides, with a flag: a call that sensors look at. */
#define WATCHED 0x80

const volatile u8 facts_of[NUMBERS];
/* The helper that gives the current task as a pointer to load from is of 5.11. */
const volatile bool task_is_typed;
/* Whether arguments of the host's calls are not looked at. */
const volatile bool containers_only;
/* Counts windows; a new one renews what may be looked at. */
volatile u32 epoch;
/* When it began, and the milliseconds since then in which sensors had something to
 * look at: of even and odd windows, on the host and in containers. Two CPUs at
 * once may lose one: atomic operations but for additions are of 5.12. */
volatile u64 window_start;
volatile u64 clumps[2][2][2];

enum budgets { FOR_PATHS, FOR_SOCKETS, FOR_PROCESSES, BUDGETS };
#define SAMPLES 16 /* of each budget, per CPU and window */

struct budget {
	u32 epoch, left;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BUDGETS);
	__type(key, u32);
	__type(value, struct budget);
} budgets SEC(".maps");

struct sample {
	u32 facts;
	s32 length; /* of data */
	u64 nr;
	u64 args[3];
	u8 data[256];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} samples SEC(".maps");

INLINE struct counts *counters(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&counts, &zero);
}

#define IN_CONTAINER 1
#define COMPAT 2

/* A container has a process namespace of its own (Docker, containerd, Podman). */
INLINE u32 in_container(struct task_struct *task)
{
	return task->thread_pid->level > 0;
}

static NOINLINE void mark(u32 of_task)
{
	u64 ms = (bpf_ktime_get_boot_ns() - window_start) / 1000000;

	if (ms > 127)
		ms = 127;
	clumps[epoch & 1][of_task & IN_CONTAINER][ms >> 6 & 1] |= 1ULL << (ms & 63);
}

static NOINLINE struct sample *sampled(u32 budget, u32 of_task)
{
	struct budget *b = bpf_map_lookup_elem(&budgets, &budget);

	if (!b || (containers_only && !(of_task & IN_CONTAINER)))
		return NULL;
	if (b->epoch != epoch) {
		b->epoch = epoch;
		b->left = SAMPLES;
	}
	if (!b->left)
		return NULL;
	b->left--;
	return bpf_ringbuf_reserve(&samples, sizeof(struct sample), 0);
}

INLINE void submit(struct sample *s, u32 facts, u64 nr)
{
	s->facts = facts;
	s->nr = nr;
	bpf_ringbuf_submit(s, 0);
}

static NOINLINE void look(u32 nr, u32 of_task, u64 arg0, u64 arg1, u64 arg2)
{
	u32 facts = facts_of[BOUND(nr, NUMBERS - 1)] & FACTS;
	struct sample *s = sampled(facts <= PATH_1 ? FOR_PATHS : FOR_SOCKETS, of_task);

	if (!s)
		return;
	s->args[0] = arg0;
	s->args[1] = arg1;
	s->args[2] = arg2;
	s->length = 0;
	if (facts == ADDRESS_1) {
		if (arg1 && !bpf_probe_read_user(s->data, 28 /* of IPv6 */, (void *)arg1))
			s->length = 28;
		else if (arg1 && !bpf_probe_read_user(s->data, 2, (void *)arg1))
			s->length = 2;
	} else if (facts != SOCKET) {
		s->length = bpf_probe_read_user_str(s->data, sizeof(s->data), (void *)(facts == PATH_0 ? arg0 : arg1));
	}
	submit(s, facts, nr);
}

/*
 * What the hot path asks of the current task, by reads that may be of any
 * kernel. A function of its own, or the compiler loads through one pointer that
 * may be into the task or into the stack.
 */
static NOINLINE u32 facts_of_task(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct { /* not the kernel's, whose fields lie elsewhere */
		u64 flags;
		u32 status;
	} info = {};
	struct pid *pid = NULL;
	u32 level = 0;

	bpf_probe_read_kernel(&info.flags, sizeof(info.flags), &task->thread_info.flags);
	bpf_probe_read_kernel(&info.status, sizeof(info.status), &task->thread_info.status);
	bpf_probe_read_kernel(&pid, sizeof(pid), &task->thread_pid);
	bpf_probe_read_kernel(&level, sizeof(level), &pid->level);
	return (level > 0 ? IN_CONTAINER : 0) | (IS_COMPAT(info) ? COMPAT : 0);
}

SEC("tp_btf/sys_exit")
int count_syscall(u64 *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx[0];
	long result = ctx[1];
	u32 nr = NUMBER(regs);
	u32 of_task;
	struct counts *c = counters();

	if (!c)
		return 0;
	if (task_is_typed) {
		struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();

		of_task = in_container(task) | (IS_COMPAT(task->thread_info) ? COMPAT : 0);
	} else {
		of_task = facts_of_task();
	}
	if (nr >= NUMBERS || of_task & COMPAT)
		nr = OTHER;
	nr = BOUND(nr, NUMBERS - 1);
	u32 facts = facts_of[nr];
	if (unlikely(facts)) {
		/* The new task returns from a clone too, with 0: that is no call. */
		if ((facts & FACTS) == CLONE && !result)
			return 0;
		if (facts & WATCHED)
			mark(of_task);
		facts &= FACTS;
		if (facts == CLONE)
			facts = NO_FACTS;
	}
	c->calls[of_task & IN_CONTAINER][(unsigned long)result >= (unsigned long)-MAX_ERRNO][nr]++;
	/* An address that a failed accept leaves is not one. */
	if (unlikely(facts) && !(facts == ADDRESS_1 && result < 0 && result != -EINPROGRESS))
		look(nr, of_task, ARG0(regs), ARG1(regs), ARG2(regs));
	return 0;
}

SEC("tp_btf/sched_process_fork")
int count_fork(u64 *ctx)
{
	struct task_struct *child = (struct task_struct *)ctx[1];
	struct counts *c = counters();
	u32 container = in_container(child) & 1;

	if (!c)
		return 0;
	if (child->pid == child->tgid)
		c->forks[container]++;
	else
		c->threads[container]++;
	return 0;
}

SEC("tp_btf/sched_process_exec")
int count_exec(u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	struct linux_binprm___args *bprm = (struct linux_binprm___args *)ctx[2];
	struct counts *c = counters();

	if (!c)
		return 0;
	u32 container = in_container(task) & 1;

	c->execs[container]++;
	struct sample *s = sampled(FOR_PROCESSES, container);
	if (!s)
		return 0;
	s->args[0] = bprm->argc;
	s->args[1] = task->mm->arg_end - task->mm->arg_start;
	s->length = 0;
	submit(s, EXEC, 0);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int count_exit(u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	struct counts *c = counters();
	u32 container = in_container(task) & 1;

	if (!c)
		return 0;
	if (task->pid != task->tgid) {
		/* One that ends with its process has made no syscall for it. */
		struct signal_struct___exit *signal = (void *)task->signal;
		u32 flags = 0;

		bpf_probe_read_kernel(&flags, sizeof(flags), &signal->flags);
		if (!(flags & SIGNAL_GROUP_EXIT))
			c->thread_exits[container]++;
		return 0;
	}
	c->exits[container]++;
	mark(container);
	struct sample *s = sampled(FOR_PROCESSES, container);
	if (!s)
		return 0;
	s->args[0] = bpf_ktime_get_boot_ns() - task->start_boottime;
	s->length = 0;
	submit(s, EXIT, 0);
	return 0;
}
