/* Runs of the dedup index from a damaged disk. A hash stops every mutation, so the digests are set right before each try: the tables' one, and
 * that of the first block. */
#include <stdlib.h>
#include <string.h>

#include "engine/catalog/dedup_run.h"

#define BLOCK_BYTES (TK_DEDUP_BLOCK_ROWS * TK_DEDUP_ROW_BYTES)
#define ENTRY_BYTES (TK_DEDUP_ID_BYTES + TK_HASH_BYTES)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The row count where the trailer has it, if the tables can lie where it says. */
static void
set_digests(uint8_t *bytes, size_t size, struct tk_hash_ctx *hash)
{
	uint64_t rows = 0, blocks;
	size_t tail;

	for (unsigned i = 0; i < 8; i++)
		rows |= (uint64_t)bytes[size - TK_DEDUP_TRAILER_BYTES + 16 + i] << 8 * i;
	if (rows > size / TK_DEDUP_ROW_BYTES)
		return;
	tail = (size_t)rows * TK_DEDUP_ROW_BYTES;
	blocks = (rows + TK_DEDUP_BLOCK_ROWS - 1) / TK_DEDUP_BLOCK_ROWS;
	if (blocks && tail + ENTRY_BYTES <= size - TK_DEDUP_TRAILER_BYTES) {
		memcpy(bytes + tail, bytes, TK_DEDUP_ID_BYTES);
		(void)!tk_hash_whole(hash, bytes, tail < BLOCK_BYTES ? tail : BLOCK_BYTES, bytes + tail + TK_DEDUP_ID_BYTES, NULL);
	}
	if (tail + TK_HASH_BYTES <= size)
		(void)!tk_hash_whole(hash, bytes + tail, size - TK_HASH_BYTES - tail, bytes + size - TK_HASH_BYTES, NULL);
}

static void
look_up_all(struct tk_dedup_run *run, struct tk_hash_ctx *hash, struct tk_packtab *packs)
{
	struct tk_extent extent;
	bool found;

	for (size_t i = 0; i < run->row_count; i++) {
		const uint8_t *id = run->data + i * TK_DEDUP_ROW_BYTES;
		size_t block = i / TK_DEDUP_BLOCK_ROWS;
		bool whole = !tk_dedup_run_check_block(run, hash, block, NULL);

		if (tk_dedup_run_find(run, hash, packs, id, &extent, &found, NULL) == TK_OK && found && extent.length_bytes == 0)
			abort();
		if (whole && run->block_count == 1 && !found)
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tk_dedup_run run = {.fd = -1};
	struct tk_hash_ctx *hash = NULL;
	struct tk_packtab *packs = NULL;
	uint8_t *bytes;

	if (size < TK_DEDUP_TRAILER_BYTES || tk_hash_ctx_new(TK_SUITE_AES, &hash, NULL))
		return 0;
	bytes = malloc(size);
	if (bytes && !tk_packtab_new(&packs, NULL)) {
		memcpy(bytes, data, size);
		set_digests(bytes, size, hash);
		if (!tk_dedup_run_over(bytes, size, hash, &run, NULL))
			look_up_all(&run, hash, packs);
		tk_dedup_run_release(&run);
	}
	tk_packtab_cleanup(&packs);
	free(bytes);
	tk_hash_ctx_cleanup(&hash);
	return 0;
}
