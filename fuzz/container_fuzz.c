/* A damaged container: whatever its tables say, packs lie inside the file, in order. */
#include <stdlib.h>
#include <string.h>

#include "engine/vault/container.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tk_container_row *rows = NULL;
	size_t count = 0, table_bytes = 0;

	if (size < TK_CONTAINER_HEAD_BYTES)
		return 0;
	if (tk_container_end(data + size - TK_CONTAINER_END_BYTES, &table_bytes, NULL) == TK_OK && table_bytes < TK_CONTAINER_HEAD_BYTES)
		abort();
	if (tk_container_head(data, &table_bytes, NULL) || table_bytes > size || tk_container_decode(data, table_bytes, size, &rows, &count, NULL))
		return 0;
	for (size_t i = 0; i < count; i++)
		if (rows[i].offset_bytes < table_bytes || rows[i].offset_bytes + rows[i].len_bytes > size ||
		    (i > 0 && memcmp(&rows[i - 1].name, &rows[i].name, sizeof(rows[i].name)) >= 0))
			abort();
	free(rows);
	return 0;
}
