/* ingest.h -- the content of files becomes extents: read, digest, compare, delta, chunk, dedup.
 *
 * Used by the run's thread. What a file held in the version before comes as its old manifest entry; where content did not change, its old
 * extents are taken over. New bytes go to the packer, new segment maps too.
 *
 * A file of several segments is read by several threads, a segment each, streaming: a byte is read once, and tagged, compared, hashed, cut and staged while it is in the cache. Facts of
 * the segments (engine/delta/facts.h) stay behind in the local store, so that the next version's bytes are found among the old ones. Where there are no facts of a segment that was there before,
 * it is read twice if it changed: first to see whether it did. The threads live as long as the file is read.
 * Memory: 3.6 MiB a thread (a window and two lanes), the facts of its segment and of four old ones (0.7 MiB each with the usual blocks of 2 KiB), the extents of the segments in work; an index over
 * the old file's blocks, up to 52 MiB; an old file's gap and its index, up to 0.6 MiB a thread; with rolling signatures also three old ones a thread, 2 MiB each. With two threads and the packer's pool a run over new files stays below 80 MiB. */
#ifndef TK_JOB_INGEST_H
#define TK_JOB_INGEST_H

#include <stdatomic.h>

#include "engine/catalog/dedup.h"
#include "engine/catalog/localstore.h"
#include "engine/fsio/fstat.h"
#include "engine/job/packer.h"
#include "engine/vault/entry.h"
#include "engine/vault/segmap.h"

/* What is remembered of a large file, so that a change costs what changed. */
enum tk_signature_kind {
	TK_SIGNATURE_TAGS,                    /* facts: keyed tags and rolling sums */
	TK_SIGNATURE_ROLLING,                 /* and librsync's signatures, for what predictions by facts leave */
	TK_SIGNATURE_NEVER,
};

#define TK_INGEST_THREADS_MAX 16u

struct tk_ingest_opts {
	enum tk_suite suite;                  /* pointers are borrowed until cleanup */
	const struct tk_domain_keys *keys;
	struct tk_packtab *packs;
	struct tk_packer *packer;
	struct tk_dedup *dedup;
	struct tk_localstore *local;
	/* Metadata blobs that the local store does not have: from a site. */
	struct tk_blob_source remote;
	uint32_t segment_bytes;               /* 0: 64 MiB */
	size_t chunk_min_bytes, chunk_avg_bytes, chunk_max_bytes; /* 0: defaults of cdc.h */
	uint64_t delta_min_bytes;             /* smaller files are never delta'd; 0: 1 MiB */
	size_t block_bytes;                   /* of facts and signatures: from 16 B, or a 2^18th of a segment, to 64 KiB; 0: by kind and size */
	enum tk_signature_kind signature;
	const uint8_t *tag_key;               /* TK_TAG_KEY_BYTES; NULL: as TK_SIGNATURE_NEVER */
	size_t extents_max;                   /* of a segment: over it the segment is stored as if it had no past; 0: 400,000 */
	uint64_t rewrite_bytes;               /* how much may be stored anew because it lies too scattered (fragments.h); 0: nothing */
	size_t rewrite_crumbs_min;            /* these two: as in struct tk_fragments_budget */
	uint32_t rewrite_blob_bytes;
	unsigned retries;                     /* of files that change while they are read */
	unsigned threads;                     /* that read one file, the run's included; 0: 1; more than TK_INGEST_THREADS_MAX: that many */
	const atomic_bool *cancel;            /* may be NULL */
	/* Told of each dedup hit, so that the run knows which packs it builds on. Any thread, one call at a time. May be NULL. */
	void (*on_reuse)(void *ctx, struct tk_blob_ref ref);
	void *ctx;
};

/* What one file's content became. */
struct tk_content {
	uint64_t size_bytes;                  /* as read */
	struct tk_digest digest;
	enum tk_content_kind kind;
	struct tk_extent *extents;            /* owned */
	size_t extent_count, extent_cap;
	struct tk_blob_ref segments;
	bool inconsistent;                    /* changed while it was read, every time */
	bool unchanged;                       /* same digest as the old entry's */
	bool not_grown;                       /* it was said to grow only, and is not what it was where it is old */
	struct tk_stat st;                    /* taken before the reading that counts */
};
void tk_content_release(struct tk_content *content);

/* What a file is compared with. */
struct tk_ingest_past {
	const struct tk_entry *entry;         /* a regular file's in the version before; NULL: none. Borrowed during the call */
	/* It is another file's (forerunner.h): of use only through its facts, and given up when the beginning holds nothing of it. */
	bool is_guess;
	int fd;                               /* a file in which the entry's bytes may still lie, or -1; borrowed. What is not what the entry says is not used */
	/* The policy says that the file only grows, and as far as stat tells it did: full segments of before are looked at in one place each, and stand. */
	bool grows;
};

struct tk_ingest_stats {
	uint64_t read_bytes;
	uint64_t literal_bytes;               /* new data and literals, before compression */
	uint64_t copied_bytes;                /* found in the version before by a delta */
	uint64_t rewritten_bytes;             /* of them stored anew; not literal */
};

struct tk_ingest;
TK_MUST_CHECK enum tk_rc tk_ingest_new(const struct tk_ingest_opts *opts, struct tk_ingest **out, struct tk_err *err);
void tk_ingest_cleanup(struct tk_ingest **ingest);

/*
 * Reads the regular file `fd` (borrowed). name is for guessing the kind of file. *out is overwritten
 * (initialise it with zeros once; memory is reused). Errors: TK_EIO, TK_EDENIED: this file cannot be read (the caller notes it and goes on) unless
 * tk_ingest_broken says that the run itself failed; TK_ECANCELLED.
 */
TK_MUST_CHECK enum tk_rc tk_ingest_file(struct tk_ingest *ingest, int fd, const char *name, const struct tk_ingest_past *past,
					struct tk_content *out, struct tk_err *err);
/* Would a guess at the past of a new file of this size be of use? */
bool tk_ingest_takes_guess(const struct tk_ingest *ingest, uint64_t size_bytes);
/* True when the last error was not the file's but the run's (memory, spool, keys). */
bool tk_ingest_broken(const struct tk_ingest *ingest);
const struct tk_ingest_stats *tk_ingest_stats(const struct tk_ingest *ingest);

/* What an interrupted run left. */
struct tk_ingest_leavings {
	bool (*has_pack)(void *ctx, uint32_t pack); /* is the pack, which that run made, there as a whole? */
	void *ctx;
};
/*
 * Takes over what such a run made of a file. *whole: its data is there, and told through on_reuse; of a large file the maps, which the local store has, are stored anew, and entry->segments
 * is where. The entry borrows the rest.
 */
TK_MUST_CHECK enum tk_rc tk_ingest_adopt(struct tk_ingest *ingest, const struct tk_ingest_leavings *left, struct tk_entry *entry, bool *whole,
					 struct tk_err *err);

/* An old entry is carried over unread: keeps what is stored locally about it from being swept. */
TK_MUST_CHECK enum tk_rc tk_ingest_keep(struct tk_ingest *ingest, const struct tk_entry *entry, struct tk_err *err);

#endif
