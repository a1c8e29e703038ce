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

/* header.flags */
#define EVENT_TRUNCATED 1
#define EVENT_COMPAT 2
#define EVENT_THREAD_EXIT 8

#define NO_SYSCALL 0xffff

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

enum fd_type {
	FD_UNKNOWN,
	FD_FILE,
	FD_DIRECTORY,
	FD_IPV4,
	FD_IPV6,
	FD_UNIX,
	FD_PIPE,
	FD_EVENT,
	FD_SIGNAL,
	FD_EVENTPOLL,
	FD_INOTIFY,
	FD_TIMER,
	FD_NETLINK,
	FD_BPF,
	FD_USERFAULT,
	FD_IO_URING,
	FD_MEMFD,
	FD_PIDFD,
	FD_PACKET,
	FD_OTHER_SOCKET,
};

/* file_info.flags */
#define FILE_UPPER_LAYER 1
#define FILE_LOWER_LAYER 2
#define FILE_CONNECTED 4
#define FILE_SERVER 8
#define FILE_CLIENT 16
#define FILE_LISTENING 32
