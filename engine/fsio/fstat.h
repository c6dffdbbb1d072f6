/* fstat.h -- the cheap facts about one object, from one statx(2), without allocation.
 *
 * Any thread. Names are resolved relative to a directory descriptor and a symlink as the last component is
 * never followed. */
#ifndef TK_FSIO_FSTAT_H
#define TK_FSIO_FSTAT_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"

/* The numbers are stable: they are written into manifests. */
enum tk_ftype {
	TK_FT_OTHER = 0,   /* a socket, or a type this program does not know: never backed up */
	TK_FT_REG = 1,
	TK_FT_DIR = 2,
	TK_FT_SYMLINK = 3,
	TK_FT_FIFO = 4,
	TK_FT_CHAR = 5,
	TK_FT_BLOCK = 6,
};

struct tk_stat {
	enum tk_ftype type;
	uint32_t mode;         /* 07777 only */
	uint32_t uid;
	uint32_t gid;
	uint32_t nlink;
	uint64_t size_bytes;
	int64_t mtime_s;
	uint32_t mtime_ns;
	int64_t ctime_s;
	uint32_t ctime_ns;
	uint64_t dev;          /* the file system, as makedev(3) gives it */
	uint64_t ino;
	uint32_t rdev_major;   /* of a device node */
	uint32_t rdev_minor;
	bool is_mount_root;    /* a file system is mounted here (kernels that tell) */
	bool is_nodump;        /* chattr +d (file systems that tell) */
};

/* Errors: TK_ENOENT (vanished), TK_EDENIED (no permission), TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_stat_at(int dirfd, const char *name, struct tk_stat *st, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_stat_fd(int fd, struct tk_stat *st, struct tk_err *err);

/* When the inode was made; false where the file system does not tell, or it cannot be asked. */
bool tk_stat_born(int dirfd, const char *name, int64_t *born_ns);

/* The code for a failed system call on a user's file: ENOENT, ENOTDIR and ESTALE are TK_ENOENT, EACCES and
 * EPERM are TK_EDENIED, the rest TK_EIO (and what tk_err_errno makes of it). Reads errno. */
enum tk_rc tk_fs_rc(void);

#endif
