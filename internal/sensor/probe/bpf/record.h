/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making an event: every CPU has a scratch buffer in which the event in
 * progress is put together, then copied to the CPU's ring in one go. Programs
 * on tracepoints run with preemption off, so that one event at a time is
 * enough; should a kernel let them nest, the inner event is counted as lost.
 *
 *   begin -> SLOT(...) = n, put_...(slot, ...) -> submit (submit.h)
 */
#pragma once
#include "counters.h"
#include "interest.h"
#include "read.h"
#include "wire.h"

#define PART_MAX 4096	     /* longest string or list in an event, its NUL included */
#define BODY_MAX (56 << 10)  /* nothing is appended behind this */
#define BODY_MASK 0xffff     /* keeps the verifier sure of that */
#define PATH_SPACE (2 * 4096)
#define PATH_MASK 4095

/* The address that a call of the socket family names, if any. */
struct peer {
	u16 family; /* 0: none */
	u16 port;   /* host order */
	u32 read;   /* 1: of this call; see call_peer */
	u32 len;    /* of raw */
	u8 ip[16] __attribute__((aligned(8))); /* 4 bytes for AF_INET, which mapped IPv6 ones become */
	char raw[256]; /* the sockaddr; twice what one can have */
};

/* One end of a connection. IPv4 addresses, and IPv6 addresses that are mapped
 * IPv4 ones, have 4 bytes. */
struct endpoint {
	u8 ip[16] __attribute__((aligned(8)));
	u16 port; /* host order */
};

struct conn {
	u16 family; /* AF_INET or AF_INET6 once mapped addresses are IPv4 */
	u8 l4proto;
	u8 state;
	struct endpoint local, remote;
};

/* An address as a key of network_rules; see addressfilter.h. */
struct network_key {
	u32 len; /* bits of what follows */
	u32 plan;
	u32 family;
	u8 ip[16];
};

/* The way from a dentry to the root; see walk.h. */
struct chain {
	u64 at, mount, n;
	u64 root, root_mount; /* the task's root directory */
	u64 own;              /* where it was passed, counted from 1; 0: it was not */
	u64 loose;            /* the same of the root of a mount that is mounted nowhere */
	u64 done, nameless;   /* the path is complete; it is only a name */
	u64 dentries[16];
};

/* The way of a path from its start; see straight.h. */
struct way {
	u64 dentry, mount; /* where it has come to */
	u64 next, found;   /* of the entries there, or the mounts */
	u32 at, len;       /* the next name, at an offset of the event */
	u32 end;           /* of the path */
	u32 left;          /* how many entries and mounts may still be looked at */
	u32 follows;       /* the call follows a link at the end */
	u32 straight;
};

/* A directory, as struct path has it. */
struct dir {
	u64 dentry, mount;
};

/* Where in the path just appended other views of it start, 0 for none. */
struct views {
	u32 own;   /* that of the task, whose root is this part of the path */
	u32 mount; /* that of a mount that is mounted nowhere */
};

/* The way through an iovec; see put_iov in payload.h. In memory, of which the
 * verifier knows nothing, so that all its ways through the loop are one. */
struct iov {
	u64 at, filled, total;
	s64 wanted;
	u32 start;
};

/* A set of rules (plan.Bits). */
struct rule_bits {
	u64 lo, hi;
};

/* What is needed of the calls of a process by its name: the needs whose first
 * clause it meets, combinations of facts, and the rules that ask for such
 * names. */
struct needs {
	u64 opens, sockets;
	struct rule_bits rules;
};

/* The groups that say which container a process is in: those of put_cgroups. A
 * hierarchy never gives an id to a second group. */
struct cgroup_set {
	u64 ids[6];
	u32 hierarchies[6];
};

/* What the tables said of a process's name; see name_needs in filter.h. */
struct name_memo {
	u32 pid, exec_id;
	u64 start, epoch;
	struct needs needs;
};

#define NAME_MEMOS 64
#define NEED_CLAUSES 4

/* What the paths of an open meet of the rules' needs, a bit each: the first
 * clause, and all others. */
struct met {
	u64 first, others;
};

/* What is told of an exec that is sent, so that the next one like it can be left
 * out; see execfilter.h. */
struct exec_key {
	u64 key, met, ancestors, plan, epoch;
};

/* The patterns of an environment, which many programs have alike. */
struct env_memo {
	u64 hash; /* of its text; 0: empty */
	u64 epoch, met;
};

#define ENV_MEMOS 16

/* A process that is held, its ancestors that are, and one more; see untold.h. */
#define HELD_LINE 16

/* What the filter said of an open; see memo.h. */
struct open_memo {
	u64 id;   /* open_id; 0: empty */
	struct met met;
	u64 given[8]; /* the path as given, with zeros behind it */
};

#define MEMO_PATH 64 /* bytes of given */
#define OPEN_MEMOS 128

/* How far the filter comes with the path of a directory, and a slash; see
 * childfilter.h. */
struct dir_memo {
	u64 id; /* dir_id; 0: empty */
	u32 len;
	u32 state;
	u64 clauses[NEED_CLAUSES];
	u64 excluded;
};

#define DIR_MEMOS 64

/* A call of open, openat or openat2; in memory, for the stack's sake. */
struct open_call {
	u64 name;  /* address of the path */
	s32 dirfd; /* that a relative path starts from */
	u32 facts;
	u64 file; /* 0: it failed */
	/* See childfilter.h. */
	u64 parent, mnt; /* of the file */
	u64 dir;	 /* the number of the parent; 0: the open is another one */
	u64 subdir;	 /* the dentry of what is opened there; 0: no directory, or the task's root */
	u64 subdir_mix, excluded;
};

struct scratch {
	u32 busy;
	u32 lost; /* since the last delivered event of this CPU */
	u32 len;  /* end of the event in progress */
	u32 cpu;
	u64 began; /* the program, in ns, while its time is measured; else 0 */
	union entry entry; /* the syscall, its result and arguments */
	s64 ret;
	u64 args[6];
	struct peer peer;
	struct chain chain;
	struct way way;
	struct views views;
	u32 path_pos; /* of the path so far in path; in memory, where verifiers do not follow its values */
	struct iov iov;
	struct cgroup_set cgroup_set; /* of cgroup_set_read */
	u32 masks;		      /* interest.masks when the call was first judged: one call, one set of rules */
	struct rule_bits rules;       /* that could match the call, wherever its process is */
	struct rule_bits host_rules;  /* the same, if it is in no container */
	struct rule_bits mask;	      /* of rules that can match the process; see procmask.h */
	/* Of address_rules, in memory like iov. */
	struct conn ends;
	struct network_key network;
	struct rule_bits at_ends;
	/* Of all paths of an open, see open_path_add in filter.h. */
	u64 clauses[NEED_CLAUSES];
	u64 excluded;
	u64 path_excluded; /* of the path that is read */
	u32 state;	   /* of the automaton that reads it */
	u32 unread;	   /* bytes of it; in memory, as verifiers keep track of a difference */
	/* What the filter read of an open, so that the event says what was judged;
	 * see filter.h. */
	u64 given[32]; /* the path */
	u32 given_len; /* with its NUL; 0: not read, or not to its end */
	u32 how_read;  /* not 0: how is what openat2 was given */
	u64 how[3];    /* struct open_how: flags, mode, resolve */
	struct name_memo names[NAME_MEMOS];
	struct open_memo opens[OPEN_MEMOS];
	struct dir_memo dirs[DIR_MEMOS];
	struct open_call open;
	u32 file_slot; /* 0: none; see finish in shapes.h */
	s32 file_fd;
	struct dir moved_dir; /* that the event in progress tells, if there is a dentry; see cwd.h */
	struct open_fds open_fds; /* of the event in progress, if fds_told; see openfds.h */
	u32 fds_told;
	struct exec_key exec_key; /* of the exec in progress */
	struct env_memo envs[ENV_MEMOS];
	u32 line[HELD_LINE]; /* pids; see tell_line */
	u32 line_len;	     /* in memory, of which the verifier knows nothing */
	u8 direction; /* of the message that the event is about */
	u8 role; /* FILE_CLIENT or FILE_SERVER, when the event says it */
	union {
		struct {
			struct event_header h;
			u64 slots[64];
		};
		char buf[BODY_MASK + 1 + 2 * PART_MAX];
	};
	char path[PATH_SPACE];
};

/* Not per-CPU maps: their values may have 32 KiB at most. */
extern struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* CPUs; set at load */
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

INLINE struct scratch *scratch_get(void)
{
	u32 cpu = bpf_get_smp_processor_id();
	return bpf_map_lookup_elem(&scratches, &cpu);
}

/* 1: programs measure the time that an event takes. */
extern volatile u64 timed SEC(".data.timed");

/* An event has come to its end, which began at a time if that is measured. */
INLINE void count(struct counters *c, u32 family, u32 fate, u64 began)
{
	struct tally *t = tally_of(c, family, fate);

	t->events++;
	if (unlikely(began))
		t->ns += bpf_ktime_get_boot_ns() - began;
}

/* The event in progress has come to its end. */
INLINE void count_fate(struct scratch *s, struct counters *c, u32 fate)
{
	count(c, s->entry.family, fate, s->began);
	s->began = 0;
}

INLINE void count_drop(struct scratch *s, struct counters *c, u32 cause, u32 category)
{
	c->drops[cause & 3][category & 7]++;
	count_fate(s, c, DROPPED);
}

/* The event is not needed: nothing is sent. */
INLINE void leave_out_as(struct scratch *s, struct counters *c, u32 fate)
{
	s->busy = 0;
	count_fate(s, c, fate);
}

INLINE void leave_out(struct scratch *s, struct counters *c)
{
	leave_out_as(s, c, FILTERED);
}

#define SLOT(s, i) (s)->slots[i]

/* The tail starts behind the slots; n is a constant. */
INLINE void slots_clear(struct scratch *s, u32 n)
{
#pragma unroll
	for (u32 i = 0; i < n; i++)
		s->slots[i] = 0;
	s->len = HEADER_SIZE + 8 * n;
	s->h.num_slots = n;
}

/* Where the next part of the tail goes. */
INLINE char *tail(struct scratch *s)
{
	return &s->buf[s->len & BODY_MASK];
}

/* The n bytes at tail become the value of a slot. */
INLINE void tail_commit(struct scratch *s, u32 slot, u32 n)
{
	s->slots[slot & 63] = (u64)n << 32 | s->len;
	s->len += n;
}

INLINE bool tail_full(struct scratch *s)
{
	if (likely(s->len <= BODY_MAX))
		return false;
	s->h.flags |= EVENT_TRUNCATED;
	return true;
}

/* A string of the task's memory, at most PART_MAX bytes with its NUL; their
 * number, or negative. Kernels say 0 of an empty string, and write nothing,
 * before they were corrected (strncpy_from_user_nofault of mm/maccess.c; 6.12
 * is one). */
INLINE long read_user_str(char *to, u64 addr)
{
	long n = bpf_probe_read_user_str(to, PART_MAX, (void *)addr);
	if (unlikely(n == 0)) {
		*to = 0;
		n = 1;
	}
	return n;
}

/* A string of the task's memory; missing when it cannot be read. */
FUNC int put_user_str(struct scratch *s, u32 slot, u64 addr)
{
	if (!s || tail_full(s))
		return 0;
	long n = read_user_str(tail(s), addr);
	if (unlikely(n <= 0)) {
		if (addr)
			count_fault();
		return 0;
	}
	tail_commit(s, slot, n - 1);
	return 0;
}

/* A string of the kernel's memory. */
FUNC int put_kernel_str(struct scratch *s, u32 slot, u64 addr)
{
	if (!s || tail_full(s))
		return 0;
	long n = bpf_probe_read_kernel_str(tail(s), PART_MAX, (void *)addr);
	if (n > 0)
		tail_commit(s, slot, n - 1);
	return 0;
}

/* n bytes of the task's memory, at most PART_MAX. */
FUNC int put_user_bytes(struct scratch *s, u32 slot, u64 addr, u64 n)
{
	if (!s || tail_full(s))
		return 0;
	if (n > PART_MAX) {
		n = PART_MAX;
		s->h.flags |= EVENT_TRUNCATED;
	}
	if (bpf_probe_read_user(tail(s), BOUND(n, 2 * PART_MAX - 1), (void *)addr)) {
		if (addr)
			count_fault();
		return 0;
	}
	tail_commit(s, slot, n);
	return 0;
}

/* The end of a family's program for a kind that it does not serve: the tables
 * that the loader wrote are wrong. */
INLINE int wrong_family(struct scratch *s)
{
	struct counters *c = counters_get();

	s->busy = 0;
	if (c)
		count_drop(s, c, DROP_BUG, s->entry.category);
	return 0;
}
