/* content_digest.h -- the content digest of files and chunks (docs/FORMAT.md, section 4): leaves of 32 KiB, segments, file.
 *
 * Errors of all: TK_EIO (the provider failed), TK_ENOMEM, and what is named. */
#ifndef TK_VAULT_CONTENT_DIGEST_H
#define TK_VAULT_CONTENT_DIGEST_H

#include "engine/crypto/suite.h"
#include "engine/vault/ids.h"

/* A thread's hasher. Keep it: no call allocates, but for the list of segment digests when it grows. */
struct tk_content_hash;
/* segment_bytes: at least 1. Errors: TK_EINVAL, TK_EUNSUPPORTED. */
TK_MUST_CHECK enum tk_rc tk_content_hash_new(enum tk_suite suite, uint64_t segment_bytes, struct tk_content_hash **out, struct tk_err *err);
void tk_content_hash_cleanup(struct tk_content_hash **hash);

/* In one call, for what is in memory: file or chunk. Forgets a stream in progress. The segment digests are those of this content afterwards. */
TK_MUST_CHECK enum tk_rc tk_content_hash_all(struct tk_content_hash *hash, const void *data, size_t len_bytes, struct tk_digest *out, struct tk_err *err);

/* Streaming over one file, any pieces: begin, feed..., finish. zeros: feeds len_bytes of zeros (a hole); whole leaves and segments of them cost
 * next to nothing. After an error, begin anew. */
void tk_content_hash_begin(struct tk_content_hash *hash);
TK_MUST_CHECK enum tk_rc tk_content_hash_feed(struct tk_content_hash *hash, const void *data, size_t len_bytes, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_content_hash_zeros(struct tk_content_hash *hash, uint64_t len_bytes, struct tk_err *err);
/* Feeds a whole leaf whose digest is known; what was fed before ends with a leaf, and one that is short is the segment's last. TK_EINVAL: it is not a leaf's place or length. */
TK_MUST_CHECK enum tk_rc tk_content_hash_known_leaf(struct tk_content_hash *hash, const struct tk_digest *leaf, size_t len_bytes, struct tk_err *err);
/* From now on on_leaf is told the digest of each leaf of a stream, in order, at the latest by finish, and what it returns ends the feeding; NULL: nobody. */
void tk_content_hash_tell_leaves(struct tk_content_hash *hash, enum tk_rc (*on_leaf)(void *ctx, const struct tk_digest *leaf, struct tk_err *err), void *ctx);
/* The content digest of what was fed since begin. The next call is begin or all. */
TK_MUST_CHECK enum tk_rc tk_content_hash_finish(struct tk_content_hash *hash, struct tk_digest *out, struct tk_err *err);
/* Digests of all segments (none for an empty content) after finish or all, borrowed until the next call with this hasher.
 * One segment alone, for parallel work: begin, feed it, finish, and take the only one. */
const struct tk_digest *tk_content_hash_segments(const struct tk_content_hash *hash, size_t *count);
/* A file's digest from its segments'. TK_EINVAL: count does not fit size_bytes. Does not touch a stream's segment list, but ends the stream. */
TK_MUST_CHECK enum tk_rc tk_content_hash_combine(struct tk_content_hash *hash, uint64_t size_bytes, const struct tk_digest *segments, size_t count,
						 struct tk_digest *out, struct tk_err *err);

#endif
