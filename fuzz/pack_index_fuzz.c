/* A pack from a hostile site: its index is refused or consistent, and no blob of it is read outside; a contents blob likewise. */
#include <stdlib.h>
#include <string.h>

#include "engine/vault/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_blobs(const struct tk_pack_index *index, const uint8_t *data, size_t size)
{
	TK_AUTO(tk_opener_cleanup) struct tk_opener *opener = NULL;

	if (tk_opener_new(&opener, NULL))
		return;
	for (uint32_t i = 0; i < index->blob_count; i++) {
		const struct tk_blob_info *info = &index->blobs[i];

		if (info->offset_bytes > size || info->sealed_bytes > size - info->offset_bytes || index->ref_start[i] > index->ref_start[i + 1])
			abort();
		if (tk_check_blob(opener, index, i, data + info->offset_bytes, info->sealed_bytes, NULL))
			continue;
		for (uint32_t r = index->ref_start[i]; r < index->ref_start[i + 1]; r++)
			if (index->refs[r].pack_index > index->name_count)
				abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tk_pack_index *index = NULL;
	struct tk_content_row *rows = NULL;
	size_t count;

	if (size >= TK_PACK_HEADER_BYTES && tk_pack_index_read(NULL, data, data, size, size, &index, NULL) == TK_OK)
		check_blobs(index, data, size);
	tk_pack_index_cleanup(&index);
	if (tk_contents_decode(data, size, &rows, &count, NULL) == TK_OK)
		free(rows);
	return 0;
}
