/* fragments.h -- where the bytes of a segment lie too scattered, and which of them a run stores anew.
 *
 * A file that is edited in place again and again comes to lie in ever more blobs, of which it uses ever less: nobody tidies a vault, so the source, which has the bytes at
 * hand, stores some of them anew. Nothing is fetched for it, and older points keep what they refer to.
 *
 * What a restore of the segment would cost is read off its extents. A blob is taken to be as long as the last byte that is used of it, which is all that they tell: a blob of
 * which only the beginning is used counts for too little, by half as a rule. Pure; any thread; memory: 40 bytes an extent during a call. */
#ifndef TK_JOB_FRAGMENTS_H
#define TK_JOB_FRAGMENTS_H

#include <stdatomic.h>

#include "engine/job/refset.h"
#include "engine/vault/segmap.h"

/* More than this many times its length in blobs is too much to read for a segment: blobs are left, the one it uses least of first, until half as much is read. At least twice
 * its length was stored in between, so that what is stored anew adds half to that at most. A segment shorter than a blob counts as one: its neighbours in the blob are read with it, wherever it lies. */
#define TK_FRAGMENTS_READ_MAX 4u
/* A pack that gives a segment no more than this is a *crumb*: finding it takes longer than reading it, and moving it costs little. */
#define TK_FRAGMENTS_CRUMB_BYTES (16u << 10)
/* One crumb for so many bytes of a segment does not show beside the rest of its restore; and so few never do. With more, those with the fewest bytes are left until half as many stay. */
#define TK_FRAGMENTS_BYTES_A_CRUMB (256u << 10)
#define TK_FRAGMENTS_CRUMBS_MIN 8u

/* What a run may store anew, in all its threads. */
struct tk_fragments_budget {
	atomic_uint_fast64_t left_bytes;
	/* Sizes that tests make tiny; 0: the defaults. */
	size_t crumbs_min;                    /* TK_FRAGMENTS_CRUMBS_MIN */
	uint32_t blob_bytes;                  /* TK_BLOB_DATA_MAX */
};

/* What a segment should leave. */
struct tk_fragments {
	struct tk_refset blobs;
	uint64_t live_bytes;                  /* of the segment in them */
};
void tk_fragments_release(struct tk_fragments *fragments);

/*
 * Chooses for a segment that is made of these extents. What was chosen is taken from the budget, and nothing is chosen for which it has no room.
 * *out is overwritten (initialise it with zeros), and is the caller's to release also on an error: TK_ENOMEM.
 */
TK_MUST_CHECK enum tk_rc tk_fragments_choose(const struct tk_extent *extents, size_t count, struct tk_fragments_budget *budget, struct tk_fragments *out,
					     struct tk_err *err);

#endif
