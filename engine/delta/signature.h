/* signature.h -- signatures of old segments: what a later run needs to find old bytes in new ones without having them.
 *
 * The bytes are librsync's signature format with RabinKarp rolling sums and BLAKE2b strong sums (magic "rs\001G"): a header of
 * 12 bytes (magic, block length, strong length; big-endian), then for each block 4 bytes of rolling sum and the
 * first strong_len bytes of the strong sum; the last block may be short.
 *
 * Equal strong sums are taken for equal bytes. With the shortest length allowed here, 16 bytes, a pair of different blocks
 * agrees by chance with probability 2^-128. A search over 2^40 bytes against 2^30 blocks compares at most 2^70 pairs,
 * so it errs with probability at most 2^-58, and the rolling sum has to agree too; far below that of an undetected memory
 * error. The hash has no key: who may write chosen blocks into the protected file can, with about 2^64 hash
 * computations, make two that agree, and harms that file only. A wrong copy does not stay hidden: the
 * content digest is made from the new bytes themselves, and a restore recomputes it.
 *
 * librsync ends the process when memory runs out inside it; what it is asked for is bounded by the signature's size.
 * Threads: each object is used by one thread at a time; different objects are independent. */
#ifndef TK_DELTA_SIGNATURE_H
#define TK_DELTA_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"
#include "engine/base/err.h"

#define TK_SIGNATURE_HEADER_BYTES 12
#define TK_SIGNATURE_WEAK_BYTES 4
#define TK_SIGNATURE_STRONG_MIN_BYTES 16 /* also the usual length */
#define TK_SIGNATURE_STRONG_MAX_BYTES 32
#define TK_SIGNATURE_BLOCK_MIN_BYTES 16
#define TK_SIGNATURE_BLOCK_MAX_BYTES (1u << 20)

/* Makes a signature from bytes as they pass by. */
struct tk_sigbuilder;

/* On TK_OK the caller owns *out. Errors: TK_EINVAL (lengths out of the ranges above), TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_sigbuilder_new(size_t block_bytes, size_t strong_bytes, struct tk_sigbuilder **out,
	struct tk_err *err);
/* Takes the next bytes, in pieces of any length. Errors: TK_ENOMEM, TK_EINVAL (finished already). */
TK_MUST_CHECK enum tk_rc tk_sigbuilder_feed(struct tk_sigbuilder *builder, const void *data, size_t len_bytes,
	struct tk_err *err);
/* Appends the whole signature to *out; the builder can then only be freed. Errors: as feed, and tk_buf_put's. */
TK_MUST_CHECK enum tk_rc tk_sigbuilder_finish(struct tk_sigbuilder *builder, struct tk_buf *out, struct tk_err *err);
void tk_sigbuilder_free(struct tk_sigbuilder *builder);
void tk_sigbuilder_cleanup(struct tk_sigbuilder **builder);

/* Appends the signature of len_bytes at data to *out. Errors: as the builder's. */
TK_MUST_CHECK enum tk_rc tk_signature_build(const void *data, size_t len_bytes, size_t block_bytes, size_t strong_bytes,
	struct tk_buf *out, struct tk_err *err);

/* A checked look at a signature's bytes, which are borrowed. Plain data. */
struct tk_signature_view {
	const uint8_t *data;
	size_t len_bytes;
	uint64_t covered_bytes; /* the length of what was signed */
	size_t block_bytes;
	size_t strong_bytes;
	size_t block_count;
};

/* Checks the header, and that there is one entry for each block of covered_bytes. Errors: TK_ECORRUPT; TK_EUNSUPPORTED:
 * another kind of signature. */
TK_MUST_CHECK enum tk_rc tk_signature_view_init(struct tk_signature_view *view, const void *data, size_t len_bytes,
	uint64_t covered_bytes, struct tk_err *err);
/* Entry `block` (under block_count): rolling and strong sum, strong_bytes + 4 bytes, borrowed. */
const uint8_t *tk_signature_entry(const struct tk_signature_view *view, size_t block);
/* The length of block `block`: block_bytes, or less for the last one. */
size_t tk_signature_block_len(const struct tk_signature_view *view, size_t block);

/* A signature in memory with its hash table, ready to be searched: about 40 bytes a block. */
struct tk_signature;
struct rs_signature; /* librsync's own; not for callers */

/* The view's bytes are not needed any more afterwards. On TK_OK the caller owns *out.
 * Errors: TK_ENOMEM, TK_ECORRUPT, TK_EINVAL (no blocks). */
TK_MUST_CHECK enum tk_rc tk_signature_load(const struct tk_signature_view *view, struct tk_signature **out,
	struct tk_err *err);
void tk_signature_free(struct tk_signature *signature);
void tk_signature_cleanup(struct tk_signature **signature);
/* For delta.c: what librsync searches; borrowed. */
struct rs_signature *tk_signature_raw(struct tk_signature *signature);

#endif
