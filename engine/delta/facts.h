/* facts.h -- what is remembered of a segment, so that a later run finds its bytes in new ones without having them.
 *
 * A tag (engine/crypto/tag.h) and a rolling sum for each block on a fixed grid, the last block may be short; and the digests of the content digest's leaves.
 * Local only, and named by what they describe, the segment's digest: facts never change and cannot be paired with other bytes. About 0.5 % of the data with
 * blocks of 4 KiB.
 *
 * The bytes, little-endian: magic "tkfacts1", key check (16: the tag of a fixed text, so that facts under a lost key are known as such), u32 block length, u32 leaf
 * length, u64 segment length; then for all blocks the tags (16 each), for all blocks the sums (u32 each), for all leaves the digests (32 each).
 *
 * Objects are used by one thread at a time. */
#ifndef TK_DELTA_FACTS_H
#define TK_DELTA_FACTS_H

#include <stdbool.h>

#include "engine/base/buf.h"
#include "engine/crypto/tag.h"

#define TK_FACTS_BLOCK_MIN_BYTES 16u
#define TK_FACTS_BLOCK_MAX_BYTES (1u << 20)
#define TK_FACTS_LEAF_DIGEST_BYTES 32u

/* Facts as they lie in memory; plain data, borrows the bytes. */
struct tk_facts {
	uint32_t block_bytes;
	uint32_t leaf_bytes;
	uint64_t len_bytes;
	size_t block_count;
	size_t leaf_count;
	const uint8_t *tags;
	const uint8_t *sums;
	const uint8_t *leaves;
};

/* The key check of a tagger's key. Errors: tk_tag's. */
TK_MUST_CHECK enum tk_rc tk_facts_key_check(struct tk_tagger *tagger, uint8_t check[TK_TAG_BYTES], struct tk_err *err);

/* Looks at facts of a segment of len_bytes. Errors: TK_EUNSUPPORTED (not facts, or under another key), TK_ECORRUPT (also: of another length). */
TK_MUST_CHECK enum tk_rc tk_facts_view(struct tk_facts *facts, const void *data, size_t data_bytes, const uint8_t check[TK_TAG_BYTES], uint64_t len_bytes,
				       struct tk_err *err);

/* Block i, under block_count. */
size_t tk_facts_block_len(const struct tk_facts *facts, size_t i);
const uint8_t *tk_facts_tag(const struct tk_facts *facts, size_t i);
uint32_t tk_facts_sum(const struct tk_facts *facts, size_t i);
/* The digest of the leaf that is exactly [off_bytes, off_bytes + len_bytes) of the segment; NULL when there is none. */
const uint8_t *tk_facts_leaf(const struct tk_facts *facts, uint64_t off_bytes, uint64_t len_bytes);

/* Facts in the making. */
struct tk_facts_draft {
	struct tk_buf bytes;    /* the finished form, filled in place */
	struct tk_facts facts;  /* a view of it */
	uint8_t *known;         /* owned; flags of each block */
	size_t known_cap;
	size_t next_block;      /* all before it are complete */
	size_t next_leaf;
};

/* Begins with zeros, or again with another segment (memory is reused). Errors: TK_ENOMEM, TK_EINVAL (lengths out of the ranges above, or a leaf length of 0). */
TK_MUST_CHECK enum tk_rc tk_facts_draft_begin(struct tk_facts_draft *draft, const uint8_t check[TK_TAG_BYTES], uint64_t len_bytes, uint32_t block_bytes,
					      uint32_t leaf_bytes, struct tk_err *err);
void tk_facts_draft_release(struct tk_facts_draft *draft);
/* The tag of block i, whose bytes begin at data; computed only once. Errors: tk_tag's. */
TK_MUST_CHECK enum tk_rc tk_facts_draft_tag(struct tk_facts_draft *draft, struct tk_tagger *tagger, size_t i, const uint8_t *data, const uint8_t **tag,
					    struct tk_err *err);
/* Block i is known to be equal to one with this sum. */
void tk_facts_draft_carry(struct tk_facts_draft *draft, size_t i, uint32_t sum);
/* Computes what is missing of the blocks that end at or before end_bytes (in the segment). window holds the segment's bytes from window_bytes (an offset in the
 * segment; no block may be incomplete before it) to end_bytes. Errors: tk_tag's. */
TK_MUST_CHECK enum tk_rc tk_facts_draft_fill(struct tk_facts_draft *draft, struct tk_tagger *tagger, const uint8_t *window, uint64_t window_bytes,
					     uint64_t end_bytes, struct tk_err *err);
/* The next leaf's digest. TK_EINVAL: there are no more leaves. */
TK_MUST_CHECK enum tk_rc tk_facts_draft_leaf(struct tk_facts_draft *draft, const uint8_t digest[TK_FACTS_LEAF_DIGEST_BYTES], struct tk_err *err);
/* True when all is filled in: draft->bytes can be kept. */
bool tk_facts_draft_complete(const struct tk_facts_draft *draft);

#endif
