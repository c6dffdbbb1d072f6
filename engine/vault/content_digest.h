/* content_digest.h -- the content digest of files and chunks (docs/FORMAT.md, section 4): leaves of 64 KiB, segments, file. */
#ifndef TK_VAULT_CONTENT_DIGEST_H
#define TK_VAULT_CONTENT_DIGEST_H

#include "engine/crypto/suite.h"
#include "engine/vault/ids.h"

/* A thread's hasher. */
struct tk_content_hash;
TK_MUST_CHECK enum tk_rc tk_content_hash_new(enum tk_suite suite, uint64_t segment_bytes, struct tk_content_hash **out, struct tk_err *err);
void tk_content_hash_cleanup(struct tk_content_hash **hash);

/* In one call, for what is in memory (at most one segment long): file or chunk. */
TK_MUST_CHECK enum tk_rc tk_content_hash_all(struct tk_content_hash *hash, const void *data, size_t len_bytes, struct tk_digest *out, struct tk_err *err);

/* Streaming over one file, any pieces: begin, feed..., finish. zeros: feeds len_bytes of zeros (a hole). */
void tk_content_hash_begin(struct tk_content_hash *hash);
TK_MUST_CHECK enum tk_rc tk_content_hash_feed(struct tk_content_hash *hash, const void *data, size_t len_bytes, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_content_hash_zeros(struct tk_content_hash *hash, uint64_t len_bytes, struct tk_err *err);
/* The digest of the segment that just ended or is open; call at each segment border (and at the end) if the segment digests are wanted. */
TK_MUST_CHECK enum tk_rc tk_content_hash_finish(struct tk_content_hash *hash, struct tk_digest *out, struct tk_err *err);
/* Segment digests of the file so far (after finish: all), borrowed until the next begin. */
const struct tk_digest *tk_content_hash_segments(const struct tk_content_hash *hash, size_t *count);
/* One segment alone, for parallel restore; and the file's digest from its segments'. */
TK_MUST_CHECK enum tk_rc tk_content_hash_combine(struct tk_content_hash *hash, uint64_t size_bytes, const struct tk_digest *segments, size_t count,
						 struct tk_digest *out, struct tk_err *err);

#endif
