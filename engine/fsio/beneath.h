/* beneath.h -- opening a directory strictly beneath another one, never through a symlink.
 *
 * openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS where the kernel has it, else component by component. Any thread. */
#ifndef TK_FSIO_BENEATH_H
#define TK_FSIO_BENEATH_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/err.h"

/* TK_ENOTSAFE unless the path is relative, of proper components, without NUL ("" is fine). */
TK_MUST_CHECK enum tk_rc tk_beneath_check(const char *path, size_t len_bytes, struct tk_err *err);

/*
 * Opens the directory at `path` (checked already, NUL-terminated, any length) beneath dirfd as O_PATH; *fd is the
 * caller's. create: missing components are made, 0700.
 * Errors: TK_ENOTSAFE (a symlink or no directory on the way), TK_ENOENT, TK_EDENIED, TK_EIO, TK_ENOSPC, TK_ENOMEM.
 */
TK_MUST_CHECK enum tk_rc tk_beneath_open_dir(int dirfd, const char *path, bool create, int *fd, struct tk_err *err);

/* The same by single components only: what is used on kernels without openat2. */
TK_MUST_CHECK enum tk_rc tk_beneath_open_steps(int dirfd, const char *path, bool create, int *fd, struct tk_err *err);

#endif
