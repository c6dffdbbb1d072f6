/* tarin.h -- a tar stream in: entries with their metadata and content, from any tar (pax, GNU, ustar; plain, gzip, xz, zstd).
 *
 * One owner, one thread at a time. The stream is not trusted: paths are normalised and those with ".." are refused. */
#ifndef TK_ARCHIVE_TARIN_H
#define TK_ARCHIVE_TARIN_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/fsio/meta.h"

struct tk_tarin;

/* Valid until the next call of tk_tarin_next. */
struct tk_tarin_entry {
	char *path;             /* no leading "/" or "./", no trailing "/"; "" for the top */
	char *hardlink_to;      /* NULL, or the path of an earlier entry whose content this one shares */
	struct tk_meta meta;    /* type TK_FT_OTHER: an unknown kind of entry, to be skipped */
};

/* fd: borrowed until cleanup, may be a pipe. On TK_OK the caller owns *out. Errors: TK_ECORRUPT (not a tar), TK_EIO, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_tarin_new(int fd, struct tk_tarin **out, struct tk_err *err);
/* *entry is NULL at the end. Content that was not read is skipped. Errors: TK_ECORRUPT, TK_ENOTSAFE (a path), TK_EIO, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_tarin_next(struct tk_tarin *tar, const struct tk_tarin_entry **entry, struct tk_err *err);
/* The next block of the entry's content, borrowed until the next call; *len_bytes is 0 at its end. Between blocks there may
 * be holes, and one after the last up to the size. Errors: TK_ECORRUPT, TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_tarin_data(struct tk_tarin *tar, const void **bytes, size_t *len_bytes, uint64_t *offset_bytes, struct tk_err *err);
void tk_tarin_cleanup(struct tk_tarin **tar);

#endif
