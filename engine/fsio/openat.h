/* openat.h -- opening things without disturbing or being fooled, and whole reads and writes.
 *
 * Any thread. */
#ifndef TK_FSIO_OPENAT_H
#define TK_FSIO_OPENAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

/* For TK_AUTO: closes *fd when it is not negative. Where close matters (a write path) use tk_fd_close. */
void tk_fd_cleanup(int *fd);
/* Closes *fd and sets it to -1. Errors: TK_EIO, TK_ENOSPC. */
TK_MUST_CHECK enum tk_rc tk_fd_close(int *fd, const char *what, struct tk_err *err);

/* Opens for reading: no symlink as the last component, no blocking on a FIFO, no change of atime where the kernel
 * lets us. -1 with errno. `directory`: must be one. */
int tk_open_quiet(int dirfd, const char *name, bool directory);

/* The same for whatever has this inode number among the first max_names names of the directory; -1: nothing has. It is the caller's to see what was opened. */
int tk_open_inode(int dirfd, uint64_t ino, unsigned max_names);

/* Writes all of it. Errors: TK_EIO, TK_ENOSPC. */
TK_MUST_CHECK enum tk_rc tk_write_full(int fd, const void *src, size_t len_bytes, const char *what, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_pwrite_full(int fd, const void *src, size_t len_bytes, uint64_t offset_bytes, const char *what, struct tk_err *err);
/* Reads until len_bytes or the end; *got_bytes says how much. Errors: TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_read_full(int fd, void *dst, size_t len_bytes, size_t *got_bytes, const char *what, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_pread_full(int fd, void *dst, size_t len_bytes, uint64_t offset_bytes, size_t *got_bytes, const char *what, struct tk_err *err);

#endif
