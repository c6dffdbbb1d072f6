#include <stdlib.h>
#include <string.h>

#include "engine/job/scan_core.h"

static enum tk_rc
sink_place(void *ctx, uint32_t *pack, struct tk_err *err)
{
	const struct scan *scan = ctx;

	return tk_packer_place(scan->opts->packer, pack, err);
}

static enum tk_rc
sink_put(void *ctx, enum tk_blob_type type, const void *plain, size_t plain_bytes, const struct tk_blob_ref *refs, size_t ref_count,
	 struct tk_blob_ref *ref, struct tk_err *err)
{
	const struct scan *scan = ctx;

	return tk_packer_put(scan->opts->packer, type, plain, plain_bytes, refs, ref_count, ref, err);
}

static enum tk_rc
sink_leaf_made(void *ctx, const struct tk_page_info *info, const void *plain, size_t plain_bytes, struct tk_err *err)
{
	struct scan *scan = ctx;
	size_t count = (size_t)info->entries;
	enum tk_rc rc;

	if (count > scan->row_count)
		return tk_err_set(err, TK_EINVAL, "a page has more entries than were added");
	if ((rc = tk_catalog_writer_add(scan->opts->writer, info, plain, plain_bytes, scan->rows, count, err)))
		return rc;
	scan->stats->changed = true;
	scan->row_count -= count;
	memmove(scan->rows, scan->rows + count, scan->row_count * sizeof(*scan->rows));
	return TK_OK;
}

static enum tk_rc
sink_node_find(void *ctx, const struct tk_digest *key, struct tk_blob_ref *ref, bool *found, struct tk_err *err)
{
	const struct scan *scan = ctx;

	return tk_catalog_node_find(scan->opts->writer, key, ref, found, err);
}

static enum tk_rc
sink_node_made(void *ctx, const struct tk_digest *key, struct tk_blob_ref ref, struct tk_err *err)
{
	const struct scan *scan = ctx;

	return tk_catalog_node_made(scan->opts->writer, key, ref, err);
}

struct tk_page_sink
tk_scan_sink(struct scan *scan)
{
	return (struct tk_page_sink){.ctx = scan, .place = sink_place, .put = sink_put, .leaf_made = sink_leaf_made,
				     .node_find = sink_node_find, .node_made = sink_node_made};
}

enum tk_rc
tk_scan_add(struct scan *scan, const struct tk_entry *entry, const struct tk_sidecar *sidecar, struct tk_err *err)
{
	enum tk_rc rc = tk_tree_add(scan->tree, entry, err);

	if (rc)
		return rc;
	if (scan->row_count == scan->row_cap) {
		size_t cap = scan->row_cap ? scan->row_cap * 2 : 256;
		struct tk_sidecar *grown = realloc(scan->rows, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for sidecars");
		scan->rows = grown;
		scan->row_cap = cap;
	}
	scan->rows[scan->row_count++] = *sidecar;
	return TK_OK;
}

enum tk_rc
tk_scan_flush_held(struct scan *scan, struct tk_err *err)
{
	TK_AUTO(tk_leaf_cleanup) struct tk_leaf_reader *reader = NULL;
	const struct tk_catalog_leaf *leaf = scan->old.leaf;
	struct tk_entry entry;
	bool done = false;
	enum tk_rc rc;

	if (!scan->holding)
		return TK_OK;
	scan->holding = scan->leaf_done = false;
	if ((rc = tk_leaf_open(leaf->plain, leaf->plain_bytes, leaf->info.ref.pack, scan->opts->packs, &reader, err)))
		return rc;
	tk_entry_init(&entry);
	for (size_t i = 0; i < scan->held && !rc; i++) {
		rc = tk_leaf_next(reader, &entry, &done, err);
		if (!rc && done)
			rc = tk_err_set(err, TK_ECORRUPT, "a cached page changed while it was read");
		if (!rc)
			rc = tk_scan_add(scan, &entry, &scan->held_rows[i], err);
	}
	tk_leaf_cleanup(&reader);
	tk_entry_release(&entry);
	return rc;
}

enum tk_rc
tk_scan_settle_leaf(struct scan *scan, const char *next_path, size_t next_bytes, struct tk_err *err)
{
	const struct tk_catalog_leaf *leaf = scan->old.leaf;
	enum tk_rc rc;

	if (next_path && !tk_tree_is_border(scan->tree, next_path, next_bytes)) {
		rc = tk_scan_flush_held(scan, err);
	} else {
		scan->holding = scan->leaf_done = false;
		rc = tk_tree_add_page(scan->tree, &leaf->info, err);
		if (!rc)
			rc = tk_catalog_writer_add(scan->opts->writer, &leaf->info, leaf->plain, leaf->plain_bytes, scan->held_rows, scan->held,
						   err);
	}
	return rc ? rc : tk_oldcursor_next_leaf(&scan->old, err);
}

enum tk_rc
tk_scan_advance_old(struct scan *scan, struct tk_err *err)
{
	enum tk_rc rc = tk_oldcursor_next_in_leaf(&scan->old, err);

	if (rc || scan->old.have)
		return rc;
	if (scan->holding) {
		scan->leaf_done = true;
		return TK_OK;
	}
	return tk_oldcursor_next_leaf(&scan->old, err);
}

enum tk_rc
tk_scan_keep(struct scan *scan, const struct tk_sidecar *sidecar, struct tk_err *err)
{
	const struct tk_entry *was = &scan->old.entry;
	enum tk_rc rc;

	if (scan->old.index == 0 && !scan->holding && tk_tree_at_border(scan->tree, was->path, was->path_bytes)) {
		scan->holding = true;
		scan->held = 0;
	}
	if (!scan->holding) {
		rc = tk_scan_add(scan, was, sidecar, err);
		return rc ? rc : tk_scan_advance_old(scan, err);
	}
	if (scan->held == scan->held_cap) {
		size_t cap = scan->held_cap ? scan->held_cap * 2 : 256;
		struct tk_sidecar *grown = realloc(scan->held_rows, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for sidecars");
		scan->held_rows = grown;
		scan->held_cap = cap;
	}
	scan->held_rows[scan->held++] = *sidecar;
	return tk_scan_advance_old(scan, err);
}
