/* delta.h -- finds the old bytes in a changed large file, byte by byte.
 *
 * Works on a range of the new file, against the signatures of one or more segments of the old file; the old
 * bytes are not needed. Block matches are taken for equal bytes: signature.h gives the bound.
 *
 * The range is searched at every byte by librsync, old segment after old segment. What stayed in place, or moved as a whole, is found much faster by
 * predict.h: this is for what it leaves.
 *
 * Pure computation; each call is used by one thread, any number of calls run side by side. Memory: the result, one old
 * segment's loaded signature, and under 1 MiB. */
#ifndef TK_DELTA_DELTA_H
#define TK_DELTA_DELTA_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/delta/delta_ops.h"

/* Where new bytes come from. */
struct tk_delta_source {
	/* Reads exactly len_bytes at off_bytes of the new file to dst, or fails. May be asked for the same bytes again, and
	 * must then give the same. */
	enum tk_rc (*read)(void *ctx, uint64_t off_bytes, size_t len_bytes, uint8_t *dst, struct tk_err *err);
	void *ctx; /* borrowed */
};

struct tk_signature;

/* An old segment: its place in the old file, and its signature (borrowed). len_bytes 0 needs no signature. */
struct tk_delta_old {
	uint64_t off_bytes;
	uint64_t len_bytes;
	const uint8_t *signature;
	size_t signature_len_bytes;
	struct tk_signature **loaded;    /* where the signature is kept once it was loaded, for further searches: the caller's. NULL: nowhere */
};

struct tk_delta_request {
	struct tk_delta_source source;
	uint64_t off_bytes;              /* the range of the new file */
	uint64_t len_bytes;
	const struct tk_delta_old *olds; /* borrowed; in the order of likelihood */
	size_t old_count;
	uint64_t miss_limit_bytes;       /* 0: search every byte; else see below */
};

/*
 * New bytes are slow to search, since every place of them is looked up. With a limit, once that many in a row (rounded up to
 * librsync's pieces, 64 KiB at most) were not found, as many are taken for literal unseen; after the next such stretch twice as many, and
 * so on until something is found. So n new bytes cost the search of some limit x log2(n / limit) of them, and may hide at most
 * about n + limit old bytes that follow them.
 *
 * Appends to *ops, which was initialised by the caller, operations that make exactly the range. Errors: TK_ENOMEM; the
 * source's; TK_ECORRUPT or TK_EUNSUPPORTED when a signature is damaged or not one of the segment it is said to be: *ops is then of
 * no use, and the range can be stored as a literal.
 */
TK_MUST_CHECK enum tk_rc tk_delta_search(const struct tk_delta_request *request, struct tk_delta_ops *ops,
	struct tk_err *err);

#endif
