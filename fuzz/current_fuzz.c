/* The catalog's pointer from a damaged disk, past its digest. What is read must be written and read again as the same. */
#include <stdlib.h>
#include <string.h>

#include "engine/catalog/current.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct tk_id domain = {"dddddddddddddddd"};
	struct tk_current first = {.bundles = NULL}, second = {.bundles = NULL};
	struct tk_packtab *packs = NULL;
	struct tk_buf bytes;

	if (tk_packtab_new(&packs, NULL))
		return 0;
	tk_buf_init(&bytes, 0);
	if (!tk_current_decode(data, size, TK_SUITE_AES, &domain, packs, &first, NULL)) {
		if (tk_current_encode(&first, TK_SUITE_AES, &domain, packs, &bytes, NULL) ||
		    tk_current_decode(bytes.data, bytes.len_bytes, TK_SUITE_AES, &domain, packs, &second, NULL) ||
		    first.bundle_count != second.bundle_count || first.node_count != second.node_count ||
		    first.at.root.pack != second.at.root.pack || first.at.total_bytes != second.at.total_bytes)
			abort();
		for (size_t i = 0; i < first.node_count; i++)
			if (memcmp(&first.nodes[i], &second.nodes[i], sizeof(first.nodes[i])) != 0 ||
			    tk_current_find_node(&first, &first.nodes[i].key) != &first.nodes[i])
				abort();
		tk_current_release(&first);
		tk_current_release(&second);
	}
	tk_buf_release(&bytes);
	tk_packtab_cleanup(&packs);
	return 0;
}
