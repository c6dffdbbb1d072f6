/* Facts from a damaged disk: whatever they say, they are read within their bounds. */
#include "engine/delta/facts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first two bytes say how long the segment is; the key check is of zeros. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t check[TK_TAG_BYTES];
	volatile unsigned seen = 0;
	struct tk_facts facts;
	uint64_t len_bytes;

	if (size < 2)
		return 0;
	len_bytes = (uint64_t)data[0] << 8 | data[1];
	if (tk_facts_view(&facts, data + 2, size - 2, check, len_bytes, NULL))
		return 0;
	for (size_t i = 0; i < facts.block_count; i++)
		seen += tk_facts_tag(&facts, i)[TK_TAG_BYTES - 1] + tk_facts_sum(&facts, i) + (unsigned)tk_facts_block_len(&facts, i);
	for (uint64_t at = 0; at < len_bytes; at += facts.leaf_bytes) {
		uint64_t left = len_bytes - at;

		seen += tk_facts_leaf(&facts, at, left < facts.leaf_bytes ? left : facts.leaf_bytes)[TK_FACTS_LEAF_DIGEST_BYTES - 1];
	}
	(void)seen;
	return 0;
}
