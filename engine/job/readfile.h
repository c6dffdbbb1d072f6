/* readfile.h -- the content of one regular file of a point, in the order of the file, checked before it is given out. */
#ifndef TK_JOB_READFILE_H
#define TK_JOB_READFILE_H

#include "engine/job/fetch.h"
#include "engine/vault/records.h"

/* Where a file's bytes go, piece by piece in the order of the file. */
struct tk_byte_sink {
	void *ctx;
	/* data NULL: len_bytes of zeros (a hole). */
	enum tk_rc (*write)(void *ctx, uint64_t offset_bytes, const uint8_t *data, size_t len_bytes, struct tk_err *err);
};

struct tk_read_file_opts {
	struct tk_fetch *fetch;               /* all borrowed */
	struct tk_packtab *packs;
	const struct tk_point *point;
	const struct tk_point_body *body;
	const atomic_bool *cancel;            /* may be NULL */
};

/*
 * A file of one segment or less is checked whole before its first byte goes out; a larger one segment by segment, each against its digest, so that
 * memory is one segment and output begins early; its whole digest is checked after the last.
 * Errors: TK_EINVAL (no regular file), TK_ECORRUPT, TK_EMISSING, TK_EUNREACH, TK_ECANCELLED, the sink's.
 */
TK_MUST_CHECK enum tk_rc tk_read_file(const struct tk_read_file_opts *opts, const struct tk_entry *entry, const struct tk_byte_sink *sink, struct tk_err *err);

#endif
