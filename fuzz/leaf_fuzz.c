/* Any bytes as a leaf page: an error, or entries that ascend and have a portable form. */
#include <stdlib.h>

#include "engine/vault/page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_all(struct tk_leaf_reader *reader, struct tk_portable *portable)
{
	struct tk_entry entry, last;
	struct tk_digest digest;
	bool done = false, first = true;

	tk_entry_init(&entry);
	tk_entry_init(&last);
	while (tk_leaf_next(reader, &entry, &done, NULL) == TK_OK && !done) {
		if (!first && tk_path_compare(last.path, last.path_bytes, entry.path, entry.path_bytes) >= 0)
			abort();
		if (tk_path_check(entry.path, entry.path_bytes, NULL) != TK_OK || tk_portable_add(portable, &entry, NULL) != TK_OK)
			abort();
		if (tk_entry_copy(&last, &entry, NULL) != TK_OK)
			abort();
		first = false;
	}
	(void)!tk_portable_end(portable, &digest, NULL);
	tk_entry_release(&entry);
	tk_entry_release(&last);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	TK_AUTO(tk_packtab_cleanup) struct tk_packtab *packs = NULL;
	TK_AUTO(tk_portable_cleanup) struct tk_portable *portable = NULL;
	TK_AUTO(tk_leaf_cleanup) struct tk_leaf_reader *reader = NULL;

	if (size > 1 << 20 || tk_packtab_new(&packs, NULL) || tk_portable_begin(TK_SUITE_AES, &portable, NULL))
		return 0;
	if (tk_leaf_open(data, size, 0, packs, &reader, NULL) == TK_OK)
		read_all(reader, portable);
	return 0;
}
