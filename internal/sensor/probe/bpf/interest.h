/* SPDX-License-Identifier: Apache-2.0 */
/* What the loader asks of the probe: fixed at load, or changed while it runs. */
#pragma once
#include "bpf.h"
#include "schema.h"

/* What is fixed when the programs are loaded. */
extern const volatile u32 cpus_per_ring; /* 0: one ring for all */
extern const volatile u32 snaplen;
extern const volatile bool drop_failed;
extern const volatile bool has_group_dead;
extern const volatile u32 page_kib; /* size of a page */
extern const volatile u64 boot_epoch; /* ns since the epoch at which the machine started */

/* What a syscall is for us; index: its number. All zero: not asked for. */
union entry {
	u64 all;
	struct {
		u16 id;
		u16 kind;
		u8 family; /* index in the table of programs, from 1 */
		u8 category;
		u16 nr; /* in its own ABI */
	};
};

/* Side by side, so that a syscall that nobody asked for reads one line. */
struct abi_entries {
	union entry native, compat;
};

#define SYSCALLS 512

/* In which combinations of facts the calls of a kind are needed: all of them,
 * or those of processes of some names; see socketfilter.h. */
struct socket_needs {
	u64 always, named;
};

_Static_assert(KIND_COUNT <= SOCKET_KINDS, "kinds");

/* What can change while the probe is attached; Interest in interest.go. */
struct interest {
	struct abi_entries syscalls[SYSCALLS];
	union entry socketcalls[32];
	u64 thread_exits; /* 1: the exit of every thread is sent, not just that of the last */
	u64 open_filter;  /* 0: none; else 1 + its index in open_filters */
	u64 masks;        /* 0: none; else 1 + their index in rule_masks */
	u64 execs;        /* 0: all are sent; else 1 + the index of the filter in exec_filters */
	u64 open_fds[SOCKET_KINDS / 64]; /* events of these kinds say which descriptors are open; bit: kind */
	struct socket_needs sockets[SOCKET_KINDS]; /* by kind */
} __attribute__((aligned(64)));

extern struct interest interest SEC(".data.interest");
