/* ingest_core.h -- what the parts of ingest share; for engine/job/ingest*.c only. */
#ifndef TK_JOB_INGEST_CORE_H
#define TK_JOB_INGEST_CORE_H

#include <pthread.h>

#include "engine/crypto/hash.h"
#include "engine/delta/cdc.h"
#include "engine/delta/predict.h"
#include "engine/delta/refine.h"
#include "engine/delta/signature.h"
#include "engine/job/fragments.h"
#include "engine/job/ingest.h"
#include "engine/vault/content_digest.h"

/* A growing list of extents. */
struct tk_extent_list {
	struct tk_extent *rows;
	size_t count, cap;
};

/* The version before of a large file, as far as it was looked at. But for the index it is read-only while its segments are worked on. */
struct tk_old_file {
	const struct tk_entry *entry;         /* NULL: none */
	bool is_guess;                        /* see ingest.h; it has facts */
	int fd;                               /* of its bytes, as far as they are still there: none is believed without its block's tag. -1: none; borrowed */
	atomic_ullong compared_bytes, found_bytes; /* of the new file with the guess, and in it */
	struct tk_segment *segments;          /* NULL while the file is one inline list */
	size_t count;
	bool has_facts;                       /* of one segment at least, with blocks of block_bytes */
	uint32_t block_bytes;
	pthread_mutex_t lock;                 /* of the index's making */
	bool index_made;
	struct tk_blockindex *index;          /* over all facts; NULL: not made, or empty */
};

/* The resolved extents of an old segment. */
struct tk_old_map {
	size_t index;
	struct tk_extent *extents;            /* NULL: nothing loaded; owned unless they are the entry's */
	bool owned;
	size_t count;
	struct tk_extent_cursor cursor;
	struct tk_fragments leave;            /* what is stored anew; live_bytes: how much of that is still to come */
};
#define TK_OLD_MAPS 4u

/* The facts of an old segment. */
struct tk_old_facts {
	size_t index;
	bool known;                           /* they were looked for... */
	bool there;                           /* ...and are there */
	struct tk_buf bytes;
	struct tk_facts facts;
};
#define TK_OLD_FACTS 4u

/* The rolling signature of an old segment. */
struct tk_old_signature {
	size_t index;
	bool known;
	struct tk_buf bytes;                  /* empty: there is none */
	struct tk_signature *loaded;          /* owned; once it was searched */
};
#define TK_OLD_SIGNATURES 3u

/*
 * What turns bytes into extents, one a thread. The bytes of a segment come in order at the end of the window, which begins somewhat before it and may reach beyond its end. From
 * its beginning they are hashed, and taken: as fresh ones, as a hole or as a copy of an old range. Fresh bytes in a row are a *run*: it is cut into chunks as it grows, or is a
 * literal if it stays short. New data is staged in the lanes; the list is final after tk_worker_end.
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
	uint64_t window_bytes;                /* where in the file it begins */
	uint64_t keep_bytes;                  /* a place in the file: what follows it stays in the window */
	size_t filled;                        /* bytes in it */
	size_t hashed;                        /* of them hashed */
	size_t taken;                         /* of them taken */
	size_t run_start;                     /* of the taken ones that are in extents already; what follows is the run */
	struct tk_cdc_search search;          /* in the run */
	bool run_is_long;                     /* too long for a literal: it is being chunked */
	bool delta;                           /* short runs are literals, and zeros holes if... */
	bool zeros_are_holes;                 /* ...the file is sparse */

	struct tk_extent_list list;
	size_t settled;                       /* extents before this one have their places */
	struct tk_extent_list slice;          /* of an old map, while it is looked through */
	bool moved;                           /* some of the old segments' bytes were stored anew */

	struct tk_old_file *old;
	struct tk_old_map old_maps[TK_OLD_MAPS];
	unsigned next_map;

	/* For local facts: */
	struct tk_tagger *tagger;             /* NULL: none are kept */
	struct tk_facts_draft draft;          /* of the segment in work... */
	bool has_draft;                       /* ...once its passage is over, if it has one... */
	struct tk_buf signature;              /* ...and its rolling signature, or empty */
	struct tk_predict predict;
	struct tk_delta_ops ops;
	struct tk_old_facts old_facts[TK_OLD_FACTS];
	unsigned next_facts;
	struct tk_refine refine;
	struct tk_buf old_bytes;              /* read from the old file */
	struct tk_old_signature old_signatures[TK_OLD_SIGNATURES];
};

struct tk_ingest {
	struct tk_ingest_opts opts;
	struct tk_cdc cdc;
	struct tk_page_sink sink;             /* for segment maps: packer and local store */
	struct tk_blob_source source;         /* local store, then the site */
	struct tk_ingest_stats stats;
	atomic_bool broken;
	struct tk_fragments_budget rewriting;
	uint8_t facts_check[TK_TAG_BYTES];    /* of the tag key */
	atomic_uint hole_block_bytes;         /* facts of a segment of zeros, with blocks of this length, were kept in this run; 0: none */

	struct tk_worker *workers;            /* the first is the run's thread; the others are initialised when a file has work for them */
	unsigned worker_count;
	pthread_mutex_t telling;              /* held for on_reuse */
	pthread_mutex_t maps;                 /* held while a segment's map is placed, made and put (packer.h) */
};

/* A file of several segments, or of one that is longer than a chunk, while it is read. Workers write the arrays at their segment's index, and nothing else. */
struct tk_large_file {
	struct tk_ingest *ingest;
	int fd;
	uint64_t size_bytes;
	bool sparse;
	bool facts;                           /* are kept of it... */
	bool rolling;                         /* ...and rolling signatures */
	uint32_t block_bytes;
	struct tk_old_file old;
	atomic_llong shift_bytes;             /* by how much the content had moved where that was last asked: a guess for the segments that are begun */
	size_t segment_count;
	struct tk_segment *segments;          /* of the new version */
	struct tk_digest *digests;

	/* Of a file that is one segment: */
	struct tk_extent_list inline_list;
	bool same_inline;                     /* the same bytes as before: the old extents stand */

	/* Of a file that only grows, ingest_append.c: */
	bool *carried;                        /* segments that stand unread; NULL: it is like any other */
	atomic_bool refuted;                  /* it did not only grow: nothing more is carried over... */
	bool again;                           /* ...and what was is being read */

	atomic_size_t next;                   /* the segment that is worked on next */
	atomic_bool failed;                   /* nobody goes on */
	pthread_mutex_t lock;                 /* of failure */
	struct tk_err failure;                /* the first */
};

/* Marks the run as broken and passes rc on: the fault is not the file's. Any thread. */
enum tk_rc tk_ingest_break(struct tk_ingest *ingest, enum tk_rc rc);
/* The length of the content digest's leaves. */
uint32_t tk_ingest_leaf_bytes(const struct tk_ingest *ingest);
/* Of reading a map: it lies at a site that cannot be asked now, or has it no more. */
bool tk_ingest_is_unavailable(enum tk_rc rc);
/* Are there to be facts of a file of this size? */
bool tk_ingest_keeps_facts(const struct tk_ingest *ingest, uint64_t size_bytes);
/* Any thread. */
void tk_ingest_tell_reuse(struct tk_ingest *ingest, struct tk_blob_ref ref);

/* ---- ingest_worker.c; errors: TK_EIO of reading is the file's, all others break the run ---- */

#define TK_WORKER_PIECE_BYTES (128u << 10)     /* read at once: it stays in the cache until it is hashed and searched */
#define TK_WORKER_BLOCK_MAX_BYTES (64u << 10)  /* of facts: a window holds what predictions look at */

TK_MUST_CHECK enum tk_rc tk_worker_init(struct tk_worker *worker, struct tk_ingest *ingest, struct tk_err *err);
void tk_worker_release(struct tk_worker *worker);
/* Before and after the segments of a file; old is borrowed in between. */
void tk_worker_open(struct tk_worker *worker, struct tk_old_file *old);
void tk_worker_close(struct tk_worker *worker);

/* Begins the segment at start_bytes of the file; the window begins lead_bytes before it, which are read and not taken. What was staged of one that failed is given up. */
void tk_worker_begin(struct tk_worker *worker, uint64_t start_bytes, size_t lead_bytes, bool delta, bool zeros_are_holes);
/* Reads up to TK_WORKER_PIECE_BYTES more into the window, which slides if it must. *got_bytes is less than asked for at the end of the file. */
TK_MUST_CHECK enum tk_rc tk_worker_read(struct tk_worker *worker, int fd, size_t len_bytes, size_t *got_bytes, struct tk_err *err);
/* The same without a file: zeros, at most as many. */
TK_MUST_CHECK enum tk_rc tk_worker_zeros(struct tk_worker *worker, size_t len_bytes, struct tk_err *err);
/* Hashes the next bytes of the window; or takes their digest for granted, being a leaf's. */
TK_MUST_CHECK enum tk_rc tk_worker_hash(struct tk_worker *worker, size_t len_bytes, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_worker_hash_known(struct tk_worker *worker, const struct tk_digest *leaf, size_t len_bytes, struct tk_err *err);
/* Takes the next bytes of the window: as fresh ones; as the old file's bytes at old_off_bytes; as a hole; as not to be stored at all. */
TK_MUST_CHECK enum tk_rc tk_worker_fresh(struct tk_worker *worker, size_t len_bytes, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_worker_copy(struct tk_worker *worker, uint64_t old_off_bytes, size_t len_bytes, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_worker_hole(struct tk_worker *worker, size_t len_bytes, struct tk_err *err);
void tk_worker_skip(struct tk_worker *worker, size_t len_bytes);
/* The whole segment is a hole, and did not come through the window: hashed and taken. */
TK_MUST_CHECK enum tk_rc tk_worker_all_hole(struct tk_worker *worker, uint64_t len_bytes, struct tk_err *err);
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

TK_MUST_CHECK enum tk_rc tk_ingest_large(struct tk_ingest *ingest, int fd, const char *name, uint64_t size_bytes,
					 const struct tk_ingest_past *past, struct tk_content *out, struct tk_err *err);
/* TK_ECANCELLED when the run was interrupted, or another thread failed with this file. */
TK_MUST_CHECK enum tk_rc tk_large_check(struct tk_large_file *file, struct tk_err *err);
uint64_t tk_large_segment_len(const struct tk_ingest *ingest, uint64_t size_bytes, size_t index);

/* ---- ingest_append.c ---- */

/* Once it is known what the file was. grows: as in struct tk_ingest_past. */
TK_MUST_CHECK enum tk_rc tk_append_begin(struct tk_large_file *file, bool grows, struct tk_err *err);
/* *settled: segment `index` needs no passage, since it stands unread, or had one before. */
TK_MUST_CHECK enum tk_rc tk_append_carry(struct tk_large_file *file, struct tk_worker *worker, size_t index, bool *settled, struct tk_err *err);
/* All segments were worked on. True: once more, since some were carried over wrongly. */
bool tk_append_again(struct tk_large_file *file);

/* ---- ingest_past.c: the facts of the version before; what cannot be read counts as absent ---- */

/* Looks whether there are facts of the file that the worker was opened with, and with blocks of which length. wanted_block_bytes: others count as absent; 0: any. */
TK_MUST_CHECK enum tk_rc tk_past_open(struct tk_worker *worker, uint32_t wanted_block_bytes, struct tk_err *err);
/* The same for the worker's predictions; borrows it. */
struct tk_predict_past tk_past_view(struct tk_worker *worker);
/* The facts of old segment `index`, borrowed until others were asked for; *out is NULL when there are none. */
TK_MUST_CHECK enum tk_rc tk_past_facts(struct tk_worker *worker, size_t index, const struct tk_facts **out, struct tk_err *err);

/* So much of the new file was compared with the one before, and so much of it found. */
void tk_past_count(struct tk_worker *worker, uint64_t compared_bytes, uint64_t found_bytes);
/* Is the version before a guess that has shown to be wrong? */
bool tk_past_is_hopeless(const struct tk_worker *worker);

/* ---- ingest_pass.c: one passage over a segment ---- */

enum tk_pass_kind {
	TK_PASS_LOOK,                         /* for digest and facts alone */
	TK_PASS_STORE,
	TK_PASS_ANEW,                         /* to store it as if there were no version before */
};

/*
 * Reads segment `index` once, for its digest (in file->digests, and as a whole content's), its facts if the file's are kept, and its extents unless it is only looked at. With facts of
 * the version before its bytes are found again where they are or went. What is to be stored is complete when the caller ends the worker.
 */
TK_MUST_CHECK enum tk_rc tk_pass_segment(struct tk_large_file *file, struct tk_worker *worker, size_t index, enum tk_pass_kind kind,
					 struct tk_digest *whole, struct tk_err *err);

/* ---- ingest_refine.c ---- */

/* The next len_bytes of the window that are not taken: predictions did not find them. */
struct tk_gap {
	uint64_t len_bytes;
	bool has_from, has_to;
	uint64_t old_from_bytes;              /* where in the old file the copy right before it ends... */
	uint64_t old_to_bytes;                /* ...and the one right behind it begins */
};
/* Compares the gap with the bytes of the old file, if they are there. Appends operations that make exactly it. */
TK_MUST_CHECK enum tk_rc tk_refine_gap(struct tk_worker *worker, const struct tk_gap *gap, struct tk_delta_ops *ops, struct tk_err *err);

/* ---- ingest_rolling.c ---- */

/*
 * Searches the next len_bytes of the window that are not taken in the rolling signatures of the version before, as far as there are any; shift_bytes: by how much the content has moved, as far
 * as is known. Appends operations that make exactly those bytes.
 */
TK_MUST_CHECK enum tk_rc tk_rolling_search(struct tk_worker *worker, int64_t shift_bytes, size_t len_bytes, struct tk_delta_ops *ops, struct tk_err *err);

/* ---- ingest.c ---- */

/* The content is the same as before: *out gets the old extents. */
TK_MUST_CHECK enum tk_rc tk_ingest_take_old(const struct tk_entry *old, struct tk_content *out, struct tk_err *err);
/* Keep from being swept: what is known under a digest; the same and the segment's maps. facts: under which digest they are kept. */
TK_MUST_CHECK enum tk_rc tk_ingest_mark_facts(struct tk_ingest *ingest, const struct tk_digest *facts, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_ingest_keep_segment(struct tk_ingest *ingest, const struct tk_segment *segment, const struct tk_digest *facts,
						struct tk_err *err);

/* Names in the local store: of what is kept about a segment, or about a file that is one segment; of a metadata blob. */
#define TK_LOCAL_NAME_MAX 80
void tk_facts_name(const struct tk_digest *digest, char dst[TK_LOCAL_NAME_MAX]);
void tk_meta_name(struct tk_packtab *packs, struct tk_blob_ref ref, char dst[TK_LOCAL_NAME_MAX]);
/* Under which digest the facts of an old segment are kept. */
const struct tk_digest *tk_old_facts_digest(const struct tk_old_file *old, size_t index);

#endif
