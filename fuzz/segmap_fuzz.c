/* Any bytes as segment maps and segment trees. Input: u16 length of the first blob, u16 segment length, the first blob, the second. The first is the base map and
 * each node of the tree, the second every overlay. What resolves must cover the segment. */
#include <stdlib.h>

#include "engine/vault/segmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct blobs {
	const uint8_t *first, *second;
	size_t first_bytes, second_bytes;
};

static enum tk_rc
read_blob(void *ctx, struct tk_blob_ref ref, enum tk_blob_type type, struct tk_buf *plain, struct tk_err *err)
{
	const struct blobs *blobs = ctx;

	(void)ref;
	tk_buf_clear(plain);
	if (type == TK_BLOB_OVERLAY_MAP)
		return tk_buf_put(plain, blobs->second, blobs->second_bytes, err);
	return tk_buf_put(plain, blobs->first, blobs->first_bytes, err);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	TK_AUTO(tk_packtab_cleanup) struct tk_packtab *packs = NULL;
	struct blobs blobs;
	const struct tk_blob_source source = {.ctx = &blobs, .read = read_blob};
	struct tk_segment segment = {.overlay_count = 2}, *segments;
	struct tk_extent *extents;
	size_t count;

	if (size < 4 || tk_packtab_new(&packs, NULL))
		return 0;
	blobs = (struct blobs){.first = data + 4, .first_bytes = (size_t)data[0] << 8 | data[1]};
	if (blobs.first_bytes > size - 4)
		blobs.first_bytes = size - 4;
	blobs.second = blobs.first + blobs.first_bytes;
	blobs.second_bytes = size - 4 - blobs.first_bytes;
	segment.length_bytes = (uint64_t)data[2] << 8 | data[3];
	if (tk_segment_extents(&source, packs, &segment, &extents, &count, NULL) == TK_OK) {
		if (tk_extents_total_bytes(extents, count) != segment.length_bytes)
			abort();
		free(extents);
	}
	if (tk_segments_read(&source, packs, segment.base, segment.length_bytes, 8, &segments, &count, NULL) == TK_OK) {
		if (count != (segment.length_bytes + 7) / 8)
			abort();
		free(segments);
	}
	return 0;
}
