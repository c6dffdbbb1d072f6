/* blockindex.h -- where in an old file a block with a given rolling sum was.
 *
 * A hash table over the full blocks of all segments' facts, at most about two million of them: of a larger file a sample, chosen by the sum itself, so that the search comes upon the same
 * choice at every place of the new file. Of blocks with the same sum the first is kept.
 *
 * Built by one thread; afterwards only read, by any number. Memory: 52 MiB for two million blocks, as 1 GiB of a dump has; less for a small file. */
#ifndef TK_DELTA_BLOCKINDEX_H
#define TK_DELTA_BLOCKINDEX_H

#include "engine/delta/facts.h"

#define TK_BLOCKINDEX_NONE UINT32_MAX

struct tk_blockindex_slot {
	uint32_t sum;
	uint32_t block;         /* TK_BLOCKINDEX_NONE: free */
	uint8_t tag_start[4];   /* of the block's tag: sums agree by chance all the time, and the facts to compare with may lie on disk */
};

struct tk_blockindex {
	struct tk_blockindex_slot *slots; /* owned; a power of two of them */
	uint64_t *filter;       /* owned; a Bloom filter: two bits of one word for each sum, 16 bits a block */
	unsigned slot_bits;
	unsigned word_bits;     /* the filter has 2^word_bits words */
	unsigned sample_bits;   /* one sum in 2^sample_bits is taken */
	size_t count;
};

/* For a file of block_count blocks. max_blocks: how many may be taken; 0: 2^21. On TK_OK the caller owns *out. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_blockindex_new(uint64_t block_count, size_t max_blocks, struct tk_blockindex **out, struct tk_err *err);
void tk_blockindex_cleanup(struct tk_blockindex **index);
/* Takes the blocks of a segment, whose first block has the number first_block in the file. What no longer fits is left out. */
void tk_blockindex_add(struct tk_blockindex *index, uint64_t first_block, const struct tk_facts *facts);
/* The block with this sum, borrowed; NULL: there is none. */
const struct tk_blockindex_slot *tk_blockindex_find(const struct tk_blockindex *index, uint32_t sum);

/* The filter's word and bits for a sum. */
static inline uint64_t
tk_blockindex_bits(const struct tk_blockindex *index, uint32_t sum, size_t *word)
{
	uint32_t mixed = sum * UINT32_C(0xcc9e2d51);

	*word = mixed >> (32 - index->word_bits);
	return UINT64_C(1) << (mixed & 63) | UINT64_C(1) << (mixed >> 6 & 63);
}

/* False for all but one or two in a hundred of the sums that are not there. */
static inline bool
tk_blockindex_maybe(const struct tk_blockindex *index, uint32_t sum)
{
	size_t word;
	uint64_t bits = tk_blockindex_bits(index, sum, &word);

	return (index->filter[word] & bits) == bits;
}

#endif
