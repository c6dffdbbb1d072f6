/* ingest_core.h -- what the parts of ingest share; for engine/job/ingest*.c only. */
#ifndef TK_JOB_INGEST_CORE_H
#define TK_JOB_INGEST_CORE_H

#include <pthread.h>

#include "engine/crypto/hash.h"
#include "engine/delta/cdc.h"
#include "engine/delta/signature.h"
#include "engine/job/ingest.h"
#include "engine/vault/content_digest.h"

/* A growing list of extents. */
struct tk_extent_list {
	struct tk_extent *rows;
	size_t count, cap;
};

/* The version before of a large file, as far as it was looked at. Read-only while its segments are worked on. */
struct tk_old_file {
	const struct tk_entry *entry;         /* NULL: none */
	struct tk_segment *segments;          /* NULL while the file is one inline list */
	size_t count;
};

/* The resolved extents of an old segment. */
struct tk_old_map {
	size_t index;
	struct tk_extent *extents;            /* NULL: nothing loaded; owned unless they are the entry's */
	bool owned;
	size_t count;
	struct tk_extent_cursor cursor;
};
#define TK_OLD_MAPS 4u

/*
 * What turns bytes into extents, one a thread. The bytes of a segment come in order: read (and hashed) at the end of the window, then taken, from its
 * beginning, as fresh ones or as a copy of an old range; holes and zeros need not come through the window. Fresh bytes in a row are a *run*: it is cut
 * into chunks as it grows, or is a literal if it stays short. New data is staged in the lanes; the list is final after tk_worker_end.
 */
struct tk_worker {
	struct tk_ingest *ingest;             /* shared: its parts have locks of their own. NULL: not initialised */
	struct tk_content_hash *hash;         /* of the segment, as it is read */
	struct tk_content_hash *chunk_hash;
	struct tk_hmac_ctx *prf;
	struct tk_lane *chunks, *literals;
	struct tk_ingest_stats stats;         /* since they were last added to the run's */

	uint8_t *window;
	size_t window_cap;
	size_t filled;                        /* bytes in it */
	size_t taken;                         /* of them taken */
	size_t run_start;                     /* of the taken ones that are in extents already; what follows is the run */
	struct tk_cdc_search search;          /* in the run */
	bool run_is_long;                     /* too long for a literal: it is being chunked */
	bool delta;                           /* short runs are literals, and zeros holes if... */
	bool zeros_are_holes;                 /* ...the file is sparse */

	struct tk_extent_list list;
	size_t settled;                       /* extents before this one have their places */

	const struct tk_old_file *old;
	struct tk_old_map old_maps[TK_OLD_MAPS];
	unsigned next_map;
};

struct tk_ingest {
	struct tk_ingest_opts opts;
	struct tk_cdc cdc;
	struct tk_page_sink sink;             /* for segment maps: packer and local store */
	struct tk_blob_source source;         /* local store, then the site */
	struct tk_ingest_stats stats;
	atomic_bool broken;

	struct tk_worker *workers;            /* the first is the run's thread; the others are initialised when a file has work for them */
	unsigned worker_count;
	pthread_mutex_t telling;              /* held for on_reuse */
	pthread_mutex_t maps;                 /* held while a segment's map is placed, made and put (packer.h) */
	pthread_mutex_t whole;                /* held by who has a whole segment in memory */
	uint8_t *whole_window;                /* lent to a worker meanwhile */
};

/* A file of several segments, or of one that is longer than a chunk, while it is read. Workers write the arrays at their segment's index, and nothing else. */
struct tk_large_file {
	struct tk_ingest *ingest;
	int fd;
	uint64_t size_bytes;
	bool sparse;
	bool sign;                            /* make signatures */
	size_t block_bytes;
	struct tk_old_file old;
	size_t segment_count;
	struct tk_segment *segments;          /* of the new version */
	struct tk_digest *digests;

	/* Of a file that is one segment: */
	struct tk_extent_list inline_list;
	bool same_inline;                     /* the same bytes as before: the old extents stand */

	atomic_size_t next;                   /* the segment that is worked on next */
	atomic_bool failed;                   /* nobody goes on */
	pthread_mutex_t lock;                 /* of failure */
	struct tk_err failure;                /* the first */
};

/* Marks the run as broken and passes rc on: the fault is not the file's. Any thread. */
enum tk_rc tk_ingest_break(struct tk_ingest *ingest, enum tk_rc rc);
/* Any thread. */
void tk_ingest_tell_reuse(struct tk_ingest *ingest, struct tk_blob_ref ref);

/* ---- ingest_worker.c; errors: TK_EIO of reading is the file's, all others break the run ---- */

#define TK_WORKER_PIECE_BYTES (128u << 10)     /* read at once: it stays in the cache until it is hashed and searched */

TK_MUST_CHECK enum tk_rc tk_worker_init(struct tk_worker *worker, struct tk_ingest *ingest, struct tk_err *err);
void tk_worker_release(struct tk_worker *worker);
/* Before and after the segments of a file; old is borrowed in between. */
void tk_worker_open(struct tk_worker *worker, const struct tk_old_file *old);
void tk_worker_close(struct tk_worker *worker);

/* Begins a segment; what was staged of one that failed is given up. */
void tk_worker_begin(struct tk_worker *worker, bool delta, bool zeros_are_holes);
/* Reads up to TK_WORKER_PIECE_BYTES into the window, which slides if it must, and hashes them. *got_bytes is less than asked for at the end of the file. */
TK_MUST_CHECK enum tk_rc tk_worker_read(struct tk_worker *worker, int fd, uint64_t off_bytes, size_t len_bytes, size_t *got_bytes,
					struct tk_err *err);
/* Takes the next bytes of the window: as fresh ones; as the old file's bytes at old_off_bytes; as not to be stored at all (only hashed). */
TK_MUST_CHECK enum tk_rc tk_worker_fresh(struct tk_worker *worker, size_t len_bytes, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_worker_copy(struct tk_worker *worker, uint64_t old_off_bytes, size_t len_bytes, struct tk_err *err);
void tk_worker_skip(struct tk_worker *worker, size_t len_bytes);
/* A hole that did not come through the window, all of which is taken: hashed, and an extent. */
TK_MUST_CHECK enum tk_rc tk_worker_hole(struct tk_worker *worker, uint64_t len_bytes, struct tk_err *err);
/* The segment is complete: hands over what is staged. */
TK_MUST_CHECK enum tk_rc tk_worker_end(struct tk_worker *worker, struct tk_err *err);
/* The digests of what was read: of it as a segment, and (may be NULL) as a whole content. Once a segment. */
TK_MUST_CHECK enum tk_rc tk_worker_digest(struct tk_worker *worker, struct tk_digest *segment, struct tk_digest *whole, struct tk_err *err);

/* ---- ingest_chunk.c ---- */

/* Files shorter than this are not worth a row of the index each; they are solid in a blob with their neighbours. */
#define TK_INDEXED_MIN_BYTES 2048u
/* The chunk's keyed id: nobody without the key can tell from it what the chunk is. known (may be NULL): its content digest. */
TK_MUST_CHECK enum tk_rc tk_chunk_id(struct tk_worker *worker, const void *data, size_t len_bytes, const struct tk_digest *known, uint8_t id[16],
				     struct tk_err *err);
/* Stores a small file's bytes as content-defined chunks, or as what the dedup index knows, with their places at once. whole_digest: its content digest. */
TK_MUST_CHECK enum tk_rc tk_ingest_chunks(struct tk_ingest *ingest, const uint8_t *data, size_t len_bytes, const struct tk_digest *whole_digest,
					  struct tk_extent_list *out, struct tk_err *err);

/* ---- ingest_large.c: a file over one chunk, by segments ---- */

TK_MUST_CHECK enum tk_rc tk_ingest_large(struct tk_ingest *ingest, int fd, const char *name, uint64_t size_bytes, const struct tk_entry *old,
					 struct tk_content *out, struct tk_err *err);
/* TK_ECANCELLED when the run was interrupted, or another thread failed with this file. */
TK_MUST_CHECK enum tk_rc tk_large_check(struct tk_large_file *file, struct tk_err *err);
uint64_t tk_large_segment_len(const struct tk_ingest *ingest, uint64_t size_bytes, size_t index);

/* ---- ingest_delta.c: a segment against the signatures of old ones ---- */

/* Reads segment `index` into the worker, as copies and fresh bytes, and ends it; its signature is appended to *signature. *done stays false, and nothing
 * was read, when there is nothing to compare it with. */
TK_MUST_CHECK enum tk_rc tk_delta_segment(struct tk_large_file *file, struct tk_worker *worker, size_t index, size_t len_bytes,
					  struct tk_buf *signature, bool *done, struct tk_err *err);

/* ---- ingest.c ---- */

/* The content is the same as before: *out gets the old extents. */
TK_MUST_CHECK enum tk_rc tk_ingest_take_old(const struct tk_entry *old, struct tk_content *out, struct tk_err *err);
/* Keeps a segment's signature and maps from being swept. */
TK_MUST_CHECK enum tk_rc tk_ingest_keep_segment(struct tk_ingest *ingest, const struct tk_segment *segment, const struct tk_digest *signature,
						struct tk_err *err);

/* The name of a signature in the local store: of a segment, or of a file that is one segment. */
#define TK_SIG_NAME_MAX 80
void tk_sig_name(const struct tk_digest *digest, char dst[TK_SIG_NAME_MAX]);
void tk_meta_name(struct tk_packtab *packs, struct tk_blob_ref ref, char dst[TK_SIG_NAME_MAX]);
/* Under which digest the signature of an old segment is kept. */
const struct tk_digest *tk_old_sig_digest(const struct tk_old_file *old, size_t index);

#endif
