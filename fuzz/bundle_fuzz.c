/* Bundles from a damaged disk, past the check of their name. What is read must be written again as the same leaves. */
#include <stdlib.h>
#include <string.h>

#include "engine/catalog/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One leaf, there and back. */
static void
round_trip(const struct tk_catalog_leaf *leaf, struct tk_packtab *packs)
{
	struct tk_bundle_out out;
	struct tk_bundle_in in = {.packs = NULL};
	const struct tk_catalog_leaf *again = NULL;
	struct tk_buf whole;
	size_t count = (size_t)leaf->info.entries;

	tk_bundle_out_init(&out);
	tk_buf_init(&whole, 0);
	tk_buf_init(&in.path, 0);
	if (tk_bundle_out_add(&out, &leaf->info, leaf->plain, leaf->plain_bytes, leaf->sidecars, count, NULL) ||
	    tk_bundle_out_head(&out, packs, NULL) || tk_buf_put(&whole, out.head.data, out.head.len_bytes, NULL) ||
	    tk_buf_put(&whole, out.leaves.data, out.leaves.len_bytes, NULL) ||
	    tk_bundle_in_begin(&in, whole.data, whole.len_bytes, packs, NULL) || tk_bundle_in_next(&in, &again, NULL) || !again)
		abort();
	if (again->info.entries != leaf->info.entries || again->plain_bytes != leaf->plain_bytes ||
	    again->info.ref.pack != leaf->info.ref.pack || strcmp(again->info.first_path, leaf->info.first_path) != 0)
		abort();
	for (size_t i = 0; i < count; i++)
		if (again->sidecars[i].ino != leaf->sidecars[i].ino || again->sidecars[i].dev != leaf->sidecars[i].dev ||
		    again->sidecars[i].ctime_s != leaf->sidecars[i].ctime_s || again->sidecars[i].racy != leaf->sidecars[i].racy)
			abort();
	tk_bundle_in_release(&in);
	tk_bundle_out_release(&out);
	tk_buf_release(&whole);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tk_bundle_in in = {.packs = NULL};
	const struct tk_catalog_leaf *leaf = NULL;
	struct tk_packtab *packs = NULL;

	if (tk_packtab_new(&packs, NULL))
		return 0;
	tk_buf_init(&in.path, 0);
	if (!tk_bundle_in_begin(&in, data, size, packs, NULL))
		while (!tk_bundle_in_next(&in, &leaf, NULL) && leaf)
			round_trip(leaf, packs);
	tk_bundle_in_release(&in);
	tk_packtab_cleanup(&packs);
	return 0;
}
