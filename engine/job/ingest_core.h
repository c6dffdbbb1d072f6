/* ingest_core.h -- what the parts of ingest share; for engine/job/ingest*.c only. */
#ifndef TK_JOB_INGEST_CORE_H
#define TK_JOB_INGEST_CORE_H

#include "engine/crypto/hash.h"
#include "engine/delta/cdc.h"
#include "engine/job/ingest.h"
#include "engine/vault/content_digest.h"

struct tk_ingest {
	struct tk_ingest_opts opts;
	struct tk_cdc cdc;
	struct tk_hmac_ctx *dedup_prf;
	struct tk_content_hash *hash;
	struct tk_page_sink sink;             /* for segment maps: packer and local store */
	struct tk_blob_source source;         /* local store, then the site */
	struct tk_ingest_stats stats;
	bool broken;

	uint8_t *window;                      /* a segment in memory */
	size_t window_cap;
};

/* A growing list of extents. */
struct tk_extent_list {
	struct tk_extent *rows;
	size_t count, cap;
};

/* Marks the run as broken and passes rc on: the fault is not the file's. */
enum tk_rc tk_ingest_break(struct tk_ingest *ingest, enum tk_rc rc);

/* ingest_chunk.c: stores data[0..len) as content-defined chunks, or as what the dedup index knows. whole_digest: the content digest of all of it if it is known and it
 * will be one chunk (may be NULL). */
TK_MUST_CHECK enum tk_rc tk_ingest_chunks(struct tk_ingest *ingest, const uint8_t *data, size_t len_bytes, const struct tk_digest *whole_digest,
					  struct tk_extent_list *out, struct tk_err *err);
/* The same for a range that a delta left over: small pieces go to literal blobs. zeros_are_holes: all-zero pieces are not stored. */
TK_MUST_CHECK enum tk_rc tk_ingest_literal(struct tk_ingest *ingest, const uint8_t *data, size_t len_bytes, bool zeros_are_holes,
					   struct tk_extent_list *out, struct tk_err *err);
bool tk_all_zero(const uint8_t *data, size_t len_bytes);

/* ingest_large.c: a file over one chunk, by segments. */
TK_MUST_CHECK enum tk_rc tk_ingest_large(struct tk_ingest *ingest, int fd, const char *name, uint64_t size_bytes, const struct tk_entry *old,
					 struct tk_content *out, struct tk_err *err);

/* The content is the same as before: *out gets the old extents. */
TK_MUST_CHECK enum tk_rc tk_ingest_take_old(const struct tk_entry *old, struct tk_content *out, struct tk_err *err);
/* Keeps a segment's signature and maps from being swept. */
TK_MUST_CHECK enum tk_rc tk_ingest_keep_segment(struct tk_ingest *ingest, const struct tk_segment *segment, const struct tk_digest *signature,
						struct tk_err *err);

/* Makes the window at least len_bytes long. */
TK_MUST_CHECK enum tk_rc tk_ingest_window(struct tk_ingest *ingest, size_t len_bytes, struct tk_err *err);

/* The name of a signature in the local store: of a segment, or of a file that is one segment. */
#define TK_SIG_NAME_MAX 80
void tk_sig_name(const struct tk_digest *digest, char dst[TK_SIG_NAME_MAX]);
void tk_meta_name(struct tk_packtab *packs, struct tk_blob_ref ref, char dst[TK_SIG_NAME_MAX]);

#endif
