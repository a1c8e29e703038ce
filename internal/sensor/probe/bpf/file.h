/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors: from a number to what the kernel knows of the open file, at the
 * moment of the event.
 */
#pragma once
#include "walk.h"
#include "sock.h"
#include "task.h"

#define AT_FDCWD -100

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFDIR 0040000
#define S_IFLNK 0120000
#define S_IFIFO 0010000

#define FMODE_CREATED 0x100000

/* include/uapi/linux/magic.h */
#define ANON_INODE_FS_MAGIC 0x09041934
#define PID_FS_MAGIC 0x50494446
#define OVERLAYFS_SUPER_MAGIC 0x794c7630
#define TMPFS_MAGIC 0x01021994
#define HUGETLBFS_MAGIC 0x958458f6
#define NSFS_MAGIC 0x6e736673 /* namespaces: files without a path */

/* The open file behind a descriptor of the task, 0 if absent. */
INLINE u64 fd_file(struct task_struct *task, s32 fd)
{
	struct files_struct *files = READ(task, files);
	if (!files)
		return 0;
	struct fdtable *fdt = READ(files, fdt);
	if ((u32)fd >= READ(fdt, max_fds))
		return 0;
	return LOAD64((u64)READ(fdt, fd) + 8 * (u64)(u32)fd);
}

/* The sock behind a descriptor, 0 if that is not a socket. */
INLINE u64 fd_sock(struct task_struct *task, s32 fd)
{
	u64 file = fd_file(task, fd);
	if (!file)
		return 0;
	struct inode *inode = READ(AS(struct file, file), f_inode);
	if ((READ(inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	u64 socket = LOAD64(file + FIELD_OFFSET(struct file, private_data));
	return socket ? LOAD64(socket + FIELD_OFFSET(struct socket, sk)) : 0;
}

/* A device number as stat(2) and Falco have it (new_encode_dev). */
INLINE u32 encode_dev(u32 dev)
{
	u32 major = dev >> 20, minor = dev & 0xfffff;
	return (minor & 0xff) | major << 8 | (minor & ~0xff) << 12;
}

/* Overlay filesystems: the upper layer's dentry follows the inode in struct
 * ovl_inode, which lives in a module: only the size of struct inode is known.
 * A file without one is in the lower layer (fs/overlayfs/ovl_entry.h). */
INLINE u8 file_layer(struct super_block *sb, u64 inode)
{
	if (READ(sb, s_magic) != OVERLAYFS_SUPER_MAGIC)
		return 0;
	return LOAD64(inode + KERNEL_SIZE(struct inode)) ? FILE_UPPER_LAYER : FILE_LOWER_LAYER;
}

/* The kind of an anonymous inode by its name: "[eventfd]", "[io_uring]", ... */
INLINE u8 anon_type(u64 name)
{
	u64 word = 0;
	bpf_probe_read_kernel(&word, sizeof(word), (void *)name);
#define WORD(a, b, c, d, e, f, g, h)                                                                          \
	((u64)a | (u64)b << 8 | (u64)c << 16 | (u64)d << 24 | (u64)e << 32 | (u64)f << 40 | (u64)g << 48 | \
	 (u64)h << 56)
	switch (word) {
	case WORD('[', 'e', 'v', 'e', 'n', 't', 'f', 'd'):
		return FD_EVENT;
	case WORD('[', 'e', 'v', 'e', 'n', 't', 'p', 'o'):
		return FD_EVENTPOLL;
	case WORD('[', 's', 'i', 'g', 'n', 'a', 'l', 'f'):
		return FD_SIGNAL;
	case WORD('[', 't', 'i', 'm', 'e', 'r', 'f', 'd'):
		return FD_TIMER;
	case WORD('[', 'i', 'o', '_', 'u', 'r', 'i', 'n'):
		return FD_IO_URING;
	case WORD('[', 'u', 's', 'e', 'r', 'f', 'a', 'u'):
		return FD_USERFAULT;
	case WORD('[', 'p', 'i', 'd', 'f', 'd', ']', 0):
		return FD_PIDFD;
	case WORD('i', 'n', 'o', 't', 'i', 'f', 'y', 0):
		return FD_INOTIFY;
	case WORD('b', 'p', 'f', '-', 'p', 'r', 'o', 'g'):
		return FD_BPF;
	}
	/* "bpf-map" and "bpf_link" */
	if ((word & 0xffffffff) == ('b' | 'p' << 8 | 'f' << 16 | '-' << 24) ||
	    (word & 0xffffffff) == ('b' | 'p' << 8 | 'f' << 16 | (u64)'_' << 24))
		return FD_BPF;
	return FD_UNKNOWN;
#undef WORD
}

INLINE bool is_memfd(u64 name)
{
	u64 word = 0;
	bpf_probe_read_kernel(&word, 6, (void *)name);
	return word == ('m' | 'e' << 8 | 'm' << 16 | (u64)'f' << 24 | (u64)'d' << 32 | (u64)':' << 40);
}

INLINE u8 file_type(u16 mode, u64 magic, u64 dentry)
{
	if (unlikely(magic == ANON_INODE_FS_MAGIC))
		return anon_type((u64)READ(AS(struct dentry, dentry), d_name.name));
	if (unlikely(magic == PID_FS_MAGIC))
		return FD_PIDFD;
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return FD_DIRECTORY;
	case S_IFIFO:
		return FD_PIPE;
	}
	if (unlikely(magic == TMPFS_MAGIC || magic == HUGETLBFS_MAGIC)) {
		/* A memfd's dentry is its own root and called "memfd:NAME". */
		struct dentry *d = AS(struct dentry, dentry);
		if ((u64)READ(d, d_parent) == dentry && is_memfd((u64)READ(d, d_name.name)))
			return FD_MEMFD;
	}
	return FD_FILE;
}

/* What an open file is, as the value of a File slot; without its path where
 * that is known to be another value of the event. */
FUNC int put_file_known(struct scratch *s, u32 slot, u64 file_addr, u32 path_known)
{
	if (!s || !file_addr)
		return 0;
	s->len = (s->len + 7) & ~7;
	if (tail_full(s))
		return 0;
	struct file *file = AS(struct file, file_addr);
	struct inode *inode = READ(file, f_inode);
	struct super_block *sb = READ(inode, i_sb);
	struct file_info *f = (struct file_info *)tail(s);
	u16 mode = READ(inode, i_mode);

	*(u64 *)f = 0;
	f->ino = READ(inode, i_ino);
	f->dev = encode_dev(READ(sb, s_dev));
	if ((mode & S_IFMT) == S_IFSOCK) {
		u64 socket = LOAD64(&file->private_data);
		/* A socket's file in a directory (bound unix socket) opened with
		 * O_PATH has none. */
		if (socket) {
			u32 len = sock_append(s, socket);
			tail_commit(s, slot, len);
			return 0;
		}
	}
	u64 path = file_path(file_addr);
	u64 dentry = LOAD64(path + FIELD_OFFSET(struct path, dentry));
	u64 mnt = LOAD64(path + FIELD_OFFSET(struct path, mnt));
	u32 at = s->len;
	u32 len = 0;

	u64 magic = READ(sb, s_magic);
	f->type = file_type(mode, magic, dentry);
	f->flags = file_layer(sb, (u64)inode);
	s->len = at + FILE_INFO_SIZE;
	if (path_known || magic == NSFS_MAGIC || f->type == FD_PIDFD) {
		len = 0;
	} else if (f->type == FD_FILE || f->type == FD_DIRECTORY) {
		len = path_append(s, dentry, mnt);
		len = views_append(s, len);
	} else if (f->type != FD_PIPE || mnt) {
		/* Named pipes have a path; objects without one their name. */
		struct dentry *d = AS(struct dentry, dentry);
		if ((u64)READ(d, d_parent) != dentry) {
			len = path_append(s, dentry, mnt);
		} else {
			long n = bpf_probe_read_kernel_str(tail(s), 256, READ(d, d_name.name));
			len = n > 0 ? (n - 1) & 255 : 0;
		}
	}
	s->len = at;
	tail_commit(s, slot, FILE_INFO_SIZE + len);
	return 0;
}

INLINE void put_file(struct scratch *s, u32 slot, u64 file)
{
	put_file_known(s, slot, file, false);
}

FUNC int put_fd(struct scratch *s, u32 slot, s32 fd)
{
	if (fd >= 0)
		put_file(s, slot, fd_file(current_task(), fd));
	return 0;
}

/* Where the inode is, for the dev and ino parameters; layers as file flags. */
struct place {
	u32 dev;
	u64 ino;
	u8 layer;
	bool created;
};

INLINE struct place file_place(u64 file_addr)
{
	struct place p = {};

	if (!file_addr)
		return p;
	struct file *file = AS(struct file, file_addr);
	struct inode *inode = READ(file, f_inode);
	struct super_block *sb = READ(inode, i_sb);
	p.dev = encode_dev(READ(sb, s_dev));
	p.ino = READ(inode, i_ino);
	p.layer = file_layer(sb, (u64)inode);
	p.created = READ(file, f_mode) & FMODE_CREATED;
	return p;
}

/* The directory that a relative path starts from, as a struct path: cwd, or what
 * dirfd is; 0: neither. */
INLINE u64 base_path(struct task_struct *task, s32 dirfd)
{
	u64 fs, file;

	if (dirfd == AT_FDCWD) {
		fs = LOAD64(&task->fs);
		return fs ? fs + FIELD_OFFSET(struct fs_struct, pwd) : 0;
	}
	file = fd_file(task, dirfd);
	return file ? file_path(file) : 0;
}

/* Not sent for a path that could not be read, nor the working directory for an
 * absolute one; a descriptor that an absolute path has no use for has a name. */
FUNC int put_base(struct scratch *s, u32 slot, u32 name_slot, s32 dirfd)
{
	if (!s)
		return 0;
	u64 name = s->slots[name_slot & 63];

	if (name && (dirfd != AT_FDCWD || s->buf[name & BODY_MASK] != '/'))
		put_path_views(s, slot, base_path(current_task(), dirfd));
	return 0;
}
