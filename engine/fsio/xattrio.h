/* xattrio.h -- extended attributes of any object, by descriptor or by directory and name, symlinks not followed.
 *
 * Used by meta and metaapply; any thread. */
#ifndef TK_FSIO_XATTRIO_H
#define TK_FSIO_XATTRIO_H

#include <stddef.h>
#include <sys/types.h>

#include "engine/base/buf.h"
#include "engine/base/err.h"

/* Names are at most 255 bytes on Linux's own file systems; others go a little further. */
#define TK_XATTRIO_PATH_MAX 1100

struct tk_xattrio {
	int fd;                          /* >= 0: the object itself, open for reading */
	char path[TK_XATTRIO_PATH_MAX];  /* else its place below /proc/self/fd */
};

/* fd >= 0 is used when given. Errors: TK_EINVAL (the name is too long). */
TK_MUST_CHECK enum tk_rc tk_xattrio_init(struct tk_xattrio *io, int fd, int parent_dirfd, const char *name, struct tk_err *err);

/* The names, each ended by a NUL, into *names (cleared first); none where there is no support.
 * Errors: TK_ENOENT, TK_EDENIED, TK_EIO, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_xattrio_list(const struct tk_xattrio *io, struct tk_buf *names, struct tk_err *err);
/* The value into *value (cleared first). TK_EMISSING: it is gone meanwhile. Errors as tk_xattrio_list. */
TK_MUST_CHECK enum tk_rc tk_xattrio_get(const struct tk_xattrio *io, const char *name, struct tk_buf *value, struct tk_err *err);
/* 0, or -1 with errno. */
int tk_xattrio_set(const struct tk_xattrio *io, const char *name, const void *value, size_t len_bytes);
int tk_xattrio_remove(const struct tk_xattrio *io, const char *name);

#endif
