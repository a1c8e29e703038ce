/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading kernel memory. Three objects are made of the same source:
 *
 *   direct  (kernels with the kfunc bpf_rdonly_cast, 6.2 and later) loads with
 *           plain instructions whose faults the kernel handles: a nanosecond
 *   legacy  (5.12 and later) calls bpf_probe_read_kernel for every field
 *   oldest  (5.8 and later) does, and has no global functions either: bpf.h
 *
 * READ(p, field) reads one field of a kernel structure, AS(type, address)
 * says what is at an address, LOAD64(address) reads 64 bits.
 */
#pragma once
#include "bpf.h"

#define FIELD_EXISTS(type, field) \
	__builtin_preserve_field_info(((type *)0)->field, 2 /* BPF_FIELD_EXISTS */)
#define FIELD_OFFSET(type, field) \
	__builtin_preserve_field_info(((type *)0)->field, 0 /* BPF_FIELD_BYTE_OFFSET */)
#define KERNEL_SIZE(type) __builtin_preserve_type_info(*(type *)0, 1 /* BPF_TYPE_SIZE */)
#define KERNEL_ENUM(type, value) \
	__builtin_preserve_enum_value(*(typeof(type) *)value, 1 /* BPF_ENUMVAL_VALUE */)
#define KERNEL_HAS_ENUM(type, value) \
	__builtin_preserve_enum_value(*(typeof(type) *)value, 0 /* BPF_ENUMVAL_EXISTS */)

/* A bit field of type t at p: the byte it starts in, shifted left then right
 * (little-endian, so that more bytes than it has do no harm). */
#define LOAD_BITS(p, t, f)                                                                           \
	((LOAD64((char *)(p) + __builtin_preserve_field_info(((t *)0)->f, 0 /* BYTE_OFFSET */))         \
	  << __builtin_preserve_field_info(((t *)0)->f, 4 /* LSHIFT_U64 */)) >>                         \
	 __builtin_preserve_field_info(((t *)0)->f, 5 /* RSHIFT_U64 */))

#ifdef LEGACY

#define READ(p, f)                                                                                      \
	({                                                                                              \
		__typeof_unqual__((p)->f) _v;                                                                      \
		bpf_probe_read_kernel(&_v, sizeof(_v), __builtin_preserve_access_index(&(p)->f));       \
		_v;                                                                                     \
	})
#define AS(type, addr) ((type *)(addr))
#define LOAD64(addr)                                                     \
	({                                                               \
		u64 _v = 0;                                              \
		bpf_probe_read_kernel(&_v, sizeof(_v), (void *)(addr));  \
		_v;                                                      \
	})

#else

extern void *bpf_rdonly_cast(const void *obj, u32 btf_id) __attribute__((section(".ksyms")));

#define READ(p, f) ((p)->f)
#define AS(type, addr) \
	((type *)bpf_rdonly_cast((void *)(addr), __builtin_btf_type_id(*(type *)0, 1 /* the kernel's */)))
/* No helper loads a number from any address; a field of a structure does. */
#define LOAD64(addr) ((u64)AS(struct timespec64, addr)->tv_sec)

#endif

/* Not bpf_get_current_task_btf: the verifier searches all the kernel's types by
 * name, some four times, at every field read of a pointer that it trusts
 * (kernel/bpf/btf.c, btf_nested_type_is_trusted), which made a quarter of the
 * time that loading took. Arguments of tracepoints are cast for the same
 * reason. */
INLINE struct task_struct *current_task(void)
{
	return AS(struct task_struct, bpf_get_current_task());
}
