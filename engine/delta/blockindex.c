#include "engine/delta/blockindex.h"

#include <stdlib.h>
#include <string.h>

#define MAX_BLOCKS ((size_t)1 << 21)
#define SLOT_BITS_MIN 6u
#define SLOTS_PER_WORD_BITS 3u /* of the filter: two slots a block, so 16 bits a block */
#define PROBES_MAX 64u

enum tk_rc
tk_blockindex_new(uint64_t block_count, size_t max_blocks, struct tk_blockindex **out, struct tk_err *err)
{
	TK_AUTO(tk_blockindex_cleanup) struct tk_blockindex *index = calloc(1, sizeof(*index));
	size_t slots;

	if (!index)
		return tk_err_set(err, TK_ENOMEM, "no memory for an index of blocks");
	if (max_blocks == 0)
		max_blocks = MAX_BLOCKS;
	while (block_count >> index->sample_bits > max_blocks)
		index->sample_bits++;
	index->slot_bits = SLOT_BITS_MIN;
	while ((uint64_t)1 << index->slot_bits < 2 * (block_count >> index->sample_bits))
		index->slot_bits++;
	index->word_bits = index->slot_bits - SLOTS_PER_WORD_BITS;
	slots = (size_t)1 << index->slot_bits;
	index->slots = malloc(slots * sizeof(*index->slots));
	index->filter = calloc((size_t)1 << index->word_bits, sizeof(*index->filter));
	if (!index->slots || !index->filter)
		return tk_err_set(err, TK_ENOMEM, "no memory for an index of %zu blocks", slots / 2);
	/* All ones: every slot is free. */
	memset(index->slots, 0xff, slots * sizeof(*index->slots));
	*out = index;
	index = NULL;
	return TK_OK;
}

void
tk_blockindex_cleanup(struct tk_blockindex **index)
{
	if (!*index)
		return;
	free((*index)->slots);
	free((*index)->filter);
	free(*index);
	*index = NULL;
}

/* A sum's sample is chosen by other bits than its slot. */
static bool
in_sample(const struct tk_blockindex *index, uint32_t sum)
{
	return index->sample_bits == 0 || (sum * UINT32_C(0x1b873593)) >> (32 - index->sample_bits) == 0;
}

static struct tk_blockindex_slot *
slot_of(const struct tk_blockindex *index, uint32_t sum)
{
	size_t mask = ((size_t)1 << index->slot_bits) - 1;
	size_t at = sum * UINT32_C(0xe6546b65) >> (32 - index->slot_bits);

	for (unsigned i = 0; i < PROBES_MAX; i++, at = (at + 1) & mask)
		if (index->slots[at].block == TK_BLOCKINDEX_NONE || index->slots[at].sum == sum)
			return &index->slots[at];
	return NULL;
}

static void
add(struct tk_blockindex *index, uint64_t block, uint32_t sum, const uint8_t *tag)
{
	struct tk_blockindex_slot *slot;
	uint64_t bits;
	size_t word;

	if (block >= TK_BLOCKINDEX_NONE || !in_sample(index, sum))
		return;
	slot = slot_of(index, sum);
	if (!slot || slot->block != TK_BLOCKINDEX_NONE)
		return;
	*slot = (struct tk_blockindex_slot){.sum = sum, .block = (uint32_t)block};
	memcpy(slot->tag_start, tag, sizeof(slot->tag_start));
	bits = tk_blockindex_bits(index, sum, &word);
	index->filter[word] |= bits;
	index->count++;
}

void
tk_blockindex_add(struct tk_blockindex *index, uint64_t first_block, const struct tk_facts *facts)
{
	for (size_t i = 0; i < facts->block_count; i++)
		if (tk_facts_block_len(facts, i) == facts->block_bytes)
			add(index, first_block + i, tk_facts_sum(facts, i), tk_facts_tag(facts, i));
}

const struct tk_blockindex_slot *
tk_blockindex_find(const struct tk_blockindex *index, uint32_t sum)
{
	const struct tk_blockindex_slot *slot = slot_of(index, sum);

	return slot && slot->block != TK_BLOCKINDEX_NONE ? slot : NULL;
}
