/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helpers, map types and section macros that the probe uses. Numbers are
 * the kernel's (include/uapi/linux/bpf.h); written out here so that building
 * the objects needs clang alone.
 */
#pragma once
#include "vmlinux.h"

#define SEC(name) __attribute__((section(name)))
#define INLINE static __attribute__((always_inline)) inline
#define NOINLINE __attribute__((noinline))
/*
 * A function that the verifier looks at once and not for every call, which
 * makes the difference between a tenth of a second and seconds. It may assume
 * nothing about its arguments: pointers may be NULL, and kernel addresses come
 * as numbers. Kernels before 5.12 have such functions without pointers only.
 *
 * Weak, as every file that includes a header has its functions: one of each is
 * left when files are linked. Of static ones, each file keeps those that it calls.
 */
#ifdef NO_GLOBAL_FUNCTIONS
#define FUNC static NOINLINE __attribute__((unused))
#define FUNC_OR_INLINE INLINE /* where a static function is more to verify */
#else
#define FUNC NOINLINE __attribute__((weak))
#define FUNC_OR_INLINE FUNC
#endif
/*
 * Programs with functions may make tail calls since 5.10 on x86 (e411901c0b77)
 * and since 6.0 on arm64 (d4609a5d8c70), see allow_tail_call_in_subprogs in the
 * kernel's verifier. In objects for kernels before, the program that makes
 * them has no functions.
 */
#if defined(NO_GLOBAL_FUNCTIONS) || (defined(LEGACY) && defined(__TARGET_ARCH_arm64))
#define PLAIN_TAIL_CALLS
#define JUMP_FUNC INLINE /* of programs that make them as well */
#else
#define JUMP_FUNC FUNC
#endif
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
/* n, bounded for the verifier by an instruction that the compiler, knowing
 * better, cannot remove. mask is 2^k - 1. */
#define BOUND(n, mask)                                              \
	({                                                          \
		u64 _bound = (n);                                   \
		asm volatile("%0 &= %1" : "+r"(_bound) : "i"(mask)); \
		_bound;                                             \
	})
#define memcpy(d, s, n) __builtin_memcpy(d, s, n)
#define memset(d, c, n) __builtin_memset(d, c, n)

/* BTF-defined maps */
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]

#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_PROG_ARRAY 3
#define BPF_MAP_TYPE_LRU_HASH 9
#define BPF_MAP_TYPE_LPM_TRIE 11
#define BPF_MAP_TYPE_ARRAY_OF_MAPS 12
#define BPF_MAP_TYPE_RINGBUF 27
#define BPF_F_NO_PREALLOC (1 << 0)
#define BPF_F_MMAPABLE (1 << 10)
#define BPF_RB_NO_WAKEUP (1 << 0)
#define BPF_RB_FORCE_WAKEUP (1 << 1)

static void *(*const bpf_map_lookup_elem)(const void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(const void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(const void *map, const void *key) = (void *)3;
static u64 (*const bpf_get_smp_processor_id)(void) = (void *)8;
static long (*const bpf_tail_call)(void *ctx, void *map, u32 index) = (void *)12;
static u64 (*const bpf_get_current_task)(void) = (void *)35;
static u64 (*const bpf_get_current_cgroup_id)(void) = (void *)80;
static long (*const bpf_probe_read_user)(void *dst, u32 size, const void *src) = (void *)112;
static long (*const bpf_probe_read_kernel)(void *dst, u32 size, const void *src) = (void *)113;
static long (*const bpf_probe_read_user_str)(void *dst, u32 size, const void *src) = (void *)114;
static long (*const bpf_probe_read_kernel_str)(void *dst, u32 size, const void *src) = (void *)115;
static u64 (*const bpf_jiffies64)(void) = (void *)118;
static u64 (*const bpf_ktime_get_boot_ns)(void) = (void *)125;
static long (*const bpf_seq_write)(struct seq_file *m, const void *data, u32 len) = (void *)127;
static long (*const bpf_ringbuf_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;
static long (*const bpf_loop)(u32 n, void *callback, void *ctx, u64 flags) = (void *)181;
static long (*const bpf_copy_from_user_task)(void *dst, u32 size, const void *src, struct task_struct *task,
					     u64 flags) = (void *)191;
