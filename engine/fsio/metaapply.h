/* metaapply.h -- puts metadata onto an object that was created, or was there before.
 *
 * Any thread, but a tk_idmap belongs to one at a time. Order of work: content first, then tk_meta_apply, then
 * renames and hard links, then (in a last pass, children before parents) tk_meta_apply_flags: an immutable object
 * can neither be renamed nor linked to, and a directory's times change with every entry made in it. */
#ifndef TK_FSIO_METAAPPLY_H
#define TK_FSIO_METAAPPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/fsio/meta.h"

/* What the system here refused; counted, never a failure of its own. */
struct tk_not_applied {
	uint64_t owner;
	uint64_t mode;
	uint64_t xattr;
	uint64_t acl;
	uint64_t flags;
	uint64_t times;
	uint64_t device;     /* for callers: a device node that could not be made */
};

/* Adds what `more` counted. */
void tk_not_applied_add(struct tk_not_applied *sum, const struct tk_not_applied *more);
/* True when nothing was refused. */
bool tk_not_applied_none(const struct tk_not_applied *counts);

/* How an object looks that was made a moment ago where nobody else could touch it: mode 0600 (0700 a directory), no attributes, no ACL. */
struct tk_look {
	uint32_t uid;
	uint32_t gid;
};

struct tk_apply_opts {
	bool numeric_ids;         /* take the numbers, not the names */
	struct tk_idmap *ids;     /* NULL: as numeric_ids */
	const struct tk_look *look;   /* what is applied to looks so, and need not be looked at; NULL: not known */
};

/*
 * Owner (by name where the name exists here, else by number), extended attributes and ACLs (those that the object has
 * and the meta has not are removed), mode (set-id bits survive), times (ns). Not the inode flags. `fd` is the
 * object open (a regular file or a directory), or -1. A symlink is never followed.
 * Counts in *counts. Errors: TK_ENOENT (the object is not there), TK_ENOTSAFE (it is of another type), TK_ENOMEM,
 * TK_EIO (the object cannot even be looked at).
 */
TK_MUST_CHECK enum tk_rc tk_meta_apply(int parent_dirfd, const char *name, int fd, const struct tk_meta *meta,
	const struct tk_apply_opts *opts, struct tk_not_applied *counts, struct tk_err *err);

/* The inode flags, last of all. Objects other than regular files and directories have none. */
void tk_meta_apply_flags(int parent_dirfd, const char *name, const struct tk_meta *meta, struct tk_not_applied *counts);

/* Clears immutable and append-only from an existing regular file or directory, so that it can be replaced or
 * changed. True when something was cleared. */
bool tk_meta_unlock(int parent_dirfd, const char *name);

#endif
