/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire layout of an event; the Go side is event.Header and FileInfo in
 * internal/sensor/event/wire.go, and a test compares the two through BTF.
 */
#pragma once
#include "bpf.h"
#include "schema.h"

struct event_header {
	u64 time;
	u32 len;
	u16 kind;
	u8 num_slots;
	u8 flags;
	s64 res;
	u32 tid;
	u32 pid;
	u32 ppid;
	u32 uid;
	u32 gid;
	u32 login_uid;
	u64 cgroup;
	u32 mnt_ns;
	u32 pid_ns;
	u32 lost;
	u16 cpu;
	u16 syscall;
	u64 start;
	u32 vtid;
	u32 exec_id;
};

#define HEADER_SIZE 88
_Static_assert(sizeof(struct event_header) == HEADER_SIZE, "header");

struct file_info {
	u8 type;
	u8 flags;
	u8 l4proto;
	u8 family;
	u16 sport;
	u16 dport;
	u64 ino;
	u32 dev;
} __attribute__((packed));

#define FILE_INFO_SIZE 20
_Static_assert(sizeof(struct file_info) == FILE_INFO_SIZE, "file info");

/* At the end of an event with EVENT_OPEN_FDS: what descriptors are open. */
#define FDS_TOLD 64 /* the types of these one by one */

struct open_fds {
	u64 types; /* of all; bit: FD_..., or FDS_MORE */
	u8 of[FDS_TOLD];
};
