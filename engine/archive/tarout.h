/* tarout.h -- a tar stream out (POSIX pax): what `tar`, bsdtar and star can read back with everything we keep.
 *
 * One owner, one thread at a time. Nanoseconds, large ids, extended attributes (SCHILY.xattr), ACLs (SCHILY.acl), inode
 * flags (SCHILY.fflags), sparse files (GNU sparse 1.0) are in pax headers. */
#ifndef TK_ARCHIVE_TAROUT_H
#define TK_ARCHIVE_TAROUT_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/fsio/holes.h"
#include "engine/fsio/meta.h"

struct tk_tarout;

/* fd: borrowed until cleanup, may be a pipe. On TK_OK the caller owns *out. Errors: TK_EIO, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_tarout_new(int fd, struct tk_tarout **out, struct tk_err *err);

/*
 * Begins an entry. path as in a manifest ("" is "."). A regular file of meta->size_bytes needs that many bytes through
 * tk_tarout_data before the next call, unless hardlink_to (the path of an entry that was added before, or NULL) makes
 * it one more name. runs (may be NULL): the runs of data and holes that cover the file; holes take no space.
 * Errors: TK_EINVAL (the last entry is not complete), TK_EUNSUPPORTED (it does not fit into a tar archive),
 * TK_EIO, TK_ENOSPC, TK_ENOMEM.
 */
TK_MUST_CHECK enum tk_rc tk_tarout_add(struct tk_tarout *tar, const char *path, const struct tk_meta *meta, const char *hardlink_to,
	const struct tk_run *runs, size_t run_count, struct tk_err *err);
/* The next bytes of the entry, holes included (bytes NULL: that many zeros). Errors: TK_EINVAL (more than its size), TK_EIO, TK_ENOSPC. */
TK_MUST_CHECK enum tk_rc tk_tarout_data(struct tk_tarout *tar, const void *bytes, uint64_t len_bytes, struct tk_err *err);
/* Ends the stream; without it the archive is cut short. Not durable. Errors: TK_EINVAL, TK_EIO, TK_ENOSPC. */
TK_MUST_CHECK enum tk_rc tk_tarout_end(struct tk_tarout *tar, struct tk_err *err);
void tk_tarout_cleanup(struct tk_tarout **tar);

#endif
