/* exclude.h -- patterns that leave paths out of a backup, much as in gitignore(5).
 *
 *   *  ?  [a-z] [!a-z]   match within one component;  \x matches x itself
 *   **                   as a whole component: any number of components, also none; at the end: all that is inside
 *   leading /            anchors the pattern to the root of the file system; without it, it may match at any depth,
 *                        also when it has a slash inside (there is no "directory of the ignore file" here)
 *   trailing /           directories only
 *   leading !            takes back what an earlier pattern excluded
 *   blank, leading #     ignored
 *
 * The last pattern that matches decides. A walk does not enter an excluded directory, so nothing below it can be
 * taken back. Compiled once; matching is pure: any number of threads may share a compiled set. */
#ifndef TK_FSIO_EXCLUDE_H
#define TK_FSIO_EXCLUDE_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/err.h"

struct tk_exclude;

/* Compiles `count` patterns (copied). On TK_OK the caller owns *out.
 * Errors: TK_ECONFIG (a malformed pattern, named), TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_exclude_new(const char *const *patterns, size_t count, struct tk_exclude **out, struct tk_err *err);
void tk_exclude_free(struct tk_exclude *ex);
void tk_exclude_cleanup(struct tk_exclude **ex);

/* path: without a leading '/', any bytes but NUL. ex may be NULL: nothing is excluded. */
bool tk_exclude_match(const struct tk_exclude *ex, const char *path, bool is_dir);

#endif
