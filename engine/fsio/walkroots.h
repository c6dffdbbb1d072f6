/* walkroots.h -- the roots of a walk: checked, normalised, sorted, without repetition.
 *
 * One owner; used by walk only. */
#ifndef TK_FSIO_WALKROOTS_H
#define TK_FSIO_WALKROOTS_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/err.h"

struct tk_walkroot {
	char *path;              /* owned; without the leading '/', "" for "/" */
	size_t path_len_bytes;
	bool is_nested;          /* some earlier root contains it */
};

struct tk_walkroots {
	struct tk_walkroot *rows;
	size_t count;
};

/* Errors: as tk_walk_new. On an error nothing is held. */
TK_MUST_CHECK enum tk_rc tk_walkroots_init(struct tk_walkroots *roots, const char *const *paths, size_t count, struct tk_err *err);
void tk_walkroots_release(struct tk_walkroots *roots);

/* Resolves the root now: the directory that holds it, open, and its name there in *name (owned by the caller).
 * Errors: TK_ENOENT, TK_EDENIED, TK_EIO, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_walkroot_open(const struct tk_walkroot *root, int *parent_dirfd, char **name, struct tk_err *err);

#endif
