/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which descriptors the task has open, at the end of events of the kinds for
 * which a rule asks for it: event.OpenFDs. Kernels without bpf_loop do not say
 * it.
 */
#pragma once
#include "file.h"

#ifndef LEGACY

#define FDS_MAX 4096 /* that are looked at */

struct fd_walk {
	struct scratch *s;
	u64 files;
	u32 n;
};

/* The type of an open file, as put_file_known has it. */
INLINE u8 open_file_type(struct scratch *s, u64 addr)
{
	struct file *file = AS(struct file, addr);
	struct inode *inode = READ(file, f_inode);
	struct super_block *sb = READ(inode, i_sb);
	u16 mode = READ(inode, i_mode);
	u64 socket = LOAD64(&file->private_data);

	if ((mode & S_IFMT) == S_IFSOCK && socket)
		return sock_type(s, socket);
	return file_type(mode, READ(sb, s_magic), LOAD64(file_path(addr) + FIELD_OFFSET(struct path, dentry)));
}

static int open_fds_step(u32 i, struct fd_walk *w)
{
	if (i >= w->n)
		return 1;
	u64 file = LOAD64(w->files + 8 * (u64)i);
	if (!file)
		return 0;
	struct open_fds *to = &w->s->open_fds;
	u8 type = open_file_type(w->s, file);
	to->types |= 1ull << (type & 63);
	if (i < FDS_TOLD)
		to->of[BOUND(i, FDS_TOLD - 1)] = type;
	return 0;
}

/* Looked at once for an event, by the programs that start it: in those of all
 * families it would take a tenth of the time that loading takes. */
FUNC int read_open_fds(struct scratch *s)
{
	struct fd_walk w = { .s = s };

	if (!s)
		return 0;
	struct files_struct *files = READ(current_task(), files);
	if (!files)
		return 0;
	struct fdtable *fdt = READ(files, fdt);
	w.files = (u64)READ(fdt, fd);
	w.n = READ(fdt, max_fds);
	s->peer.family = 0; /* it is that of an event's socket alone */
	s->open_fds.types = w.n > FDS_MAX ? FDS_MORE : 0;
	memset(s->open_fds.of, FD_CLOSED, FDS_TOLD);
	bpf_loop(FDS_MAX, open_fds_step, &w, 0);
	s->fds_told = 1;
	return 0;
}

#endif

INLINE void look_at_open_fds(struct scratch *s, [[maybe_unused]] u32 kind)
{
	s->fds_told = 0;
#ifndef LEGACY
	if (unlikely(interest.open_fds[BOUND(kind / 64, SOCKET_KINDS / 64 - 1)] >> (kind % 64) & 1))
		read_open_fds(s);
#endif
}
