/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shapes that most events have. K is the name of a kind; the macros expand
 * to its start and its common parameters, and expect s.
 */
#pragma once
#include "file.h"
#include "submit.h"

/* What descriptor the event has, as the value of a File slot: put there by
 * finish, once for all kinds, because verifiers look at every call. */
INLINE void name_fd(struct scratch *s, u32 slot, s32 fd)
{
	s->file_slot = slot;
	s->file_fd = fd;
}

/* Send the event. */
INLINE int finish(struct scratch *s)
{
	if (s->file_slot)
		put_fd(s, s->file_slot, s->file_fd);
	return submit(s, s->entry.category);
}

/* res path | base: the path is the syscall's first argument. */
#define PATH_EVENT(K)                                                      \
	do {                                                               \
		BEGIN(K);                                                  \
		SLOT(s, 0) = s->ret;                                       \
		put_user_str(s, 1, s->args[0]);                            \
		put_base(s, K##_BASE, 1, AT_FDCWD);                  \
	} while (0)

/* res dirfd path ... | base file: first and second argument. */
#define PATH_AT_EVENT(K)                                                   \
	do {                                                               \
		BEGIN(K);                                                  \
		SLOT(s, 0) = s->ret;                                       \
		SLOT(s, 1) = (s32)s->args[0];                              \
		put_user_str(s, 2, s->args[1]);                            \
		put_base(s, K##_BASE, 2, s->args[0]);                \
		name_fd(s, K##_FILE, s->args[0]);                         \
	} while (0)

/* res fd ... | file: the descriptor is the first argument. */
#define FD_EVENT(K)                                                        \
	do {                                                               \
		BEGIN(K);                                                  \
		SLOT(s, 0) = s->ret;                                       \
		SLOT(s, 1) = (s32)s->args[0];                              \
		name_fd(s, K##_FILE, s->args[0]);                         \
	} while (0)

/* res | ... file: the result is the descriptor made. */
#define NEW_FD_EVENT(K)                                                    \
	do {                                                               \
		BEGIN(K);                                                  \
		SLOT(s, 0) = s->ret;                                       \
		name_fd(s, K##_FILE, s->ret);                             \
	} while (0)

/* res and n arguments as they are. */
#define NUMBERS_EVENT(K, n)                                                \
	do {                                                               \
		BEGIN(K);                                                  \
		SLOT(s, 0) = s->ret;                                       \
		for (int i = 0; i < n; i++)                                \
			SLOT(s, 1 + i) = s->args[i];                       \
	} while (0)
