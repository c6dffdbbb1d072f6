/* Any bytes as a node page: an error, or children whose first paths ascend. */
#include <stdlib.h>

#include "engine/vault/page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	TK_AUTO(tk_packtab_cleanup) struct tk_packtab *packs = NULL;
	struct tk_page_info *children;
	struct tk_digest digest;
	size_t count;
	unsigned level;

	if (tk_packtab_new(&packs, NULL) || tk_node_decode(data, size, 0, packs, &children, &count, &level, NULL))
		return 0;
	for (size_t i = 1; i < count; i++)
		if (tk_path_compare(children[i - 1].first_path, children[i - 1].first_path_bytes, children[i].first_path,
				    children[i].first_path_bytes) >= 0)
			abort();
	if (tk_node_portable(TK_SUITE_AES, level, children, count, &digest, NULL) != TK_OK)
		abort();
	tk_page_infos_free(children, count);
	return 0;
}
