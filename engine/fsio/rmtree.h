/* rmtree.h -- removes one object, a directory with all that is in it, with two descriptors however deep it is.
 *
 * Any thread. Never follows a symlink, never enters another file system. */
#ifndef TK_FSIO_RMTREE_H
#define TK_FSIO_RMTREE_H

#include "engine/base/err.h"

/* Clears immutable and append-only where they are in the way. What is not there is TK_OK; what vanishes meanwhile too.
 * Errors: TK_ENOTSAFE (a mount point, or a directory moved away under us), TK_EDENIED, TK_EIO, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_rmtree_at(int dirfd, const char *name, struct tk_err *err);

#endif
