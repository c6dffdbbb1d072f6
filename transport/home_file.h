/* home_file.h -- small files of a home or a registry: written whole or not at all, read whole.
 *
 * Any thread; two writers of one name must not meet. Files are never followed through a symbolic link at their last component. */
#ifndef TK_TRANSPORT_HOME_FILE_H
#define TK_TRANSPORT_HOME_FILE_H

#include <sys/types.h>

#include "engine/base/buf.h"

/*
 * Puts a file with `mode` at `path` below dirfd, over any other, and makes it durable: a temporary file beside it, write, fsync, rename, fsync of
 * the directory. On an error the name may or may not hold the new bytes. Errors: TK_EIO, TK_ENOSPC, TK_EINVAL (path too long).
 */
TK_MUST_CHECK enum tk_rc tk_home_file_put(int dirfd, const char *path, const void *data, size_t len_bytes, mode_t mode,
					  struct tk_err *err);
/* Appends the whole file to *out. Errors: TK_ENOENT, TK_EIO, TK_ECORRUPT (longer than max_bytes). */
TK_MUST_CHECK enum tk_rc tk_home_file_get(int dirfd, const char *path, size_t max_bytes, struct tk_buf *out, struct tk_err *err);
/* Makes a directory; harmless when it is there. */
TK_MUST_CHECK enum tk_rc tk_home_file_mkdir(int dirfd, const char *path, mode_t mode, struct tk_err *err);

#endif
