/* Reading segment maps, and resolving a base and its overlays into one list. */
#include <stdlib.h>

#include "engine/vault/mapcore.h"

void
tk_extent_rows_release(struct tk_extent_rows *list)
{
	free(list->rows);
	*list = (struct tk_extent_rows){0};
}

void
tk_overlay_release(struct tk_overlay *overlay)
{
	free(overlay->runs);
	tk_extent_rows_release(&overlay->extents);
	*overlay = (struct tk_overlay){0};
}

/* Reads one list to the end of *list; the rows are not merged. */
static enum tk_rc
read_list(struct tk_cursor *cur, const struct tk_pack_table *table, struct tk_extent_rows *list, uint64_t *total_bytes, struct tk_err *err)
{
	size_t count = tk_extents_count(cur);

	*total_bytes = 0;
	if (list->count + count > list->cap) {
		size_t cap = list->count + count + list->cap;
		struct tk_extent *rows = reallocarray(list->rows, cap, sizeof(*rows));

		if (!rows)
			return tk_err_set(err, TK_ENOMEM, "no memory for an extent list");
		list->rows = rows;
		list->cap = cap;
	}
	if (count > 0)
		tk_extents_rows(cur, table, list->rows + list->count, count, total_bytes);
	if (tk_cursor_ok(cur))
		list->count += count;
	return TK_OK;
}

/* The part that all maps begin with. */
static enum tk_rc
open_map(struct tk_cursor *cur, const struct tk_buf *plain, uint32_t own_pack, struct tk_packtab *packs, struct tk_pack_table *table,
	 struct tk_err *err)
{
	tk_cursor_init(cur, plain->data, plain->len_bytes);
	if (tk_cursor_u8(cur) != TK_PAGE_VERSION)
		return tk_err_set(err, plain->len_bytes ? TK_EUNSUPPORTED : TK_ECORRUPT, "segment map: unknown version");
	return tk_pack_table_read(cur, own_pack, packs, table, err);
}

enum tk_rc
tk_base_map_read(const struct tk_blob_source *source, struct tk_packtab *packs, struct tk_blob_ref ref, struct tk_buf *plain,
		 struct tk_extent_rows *list, struct tk_err *err)
{
	TK_AUTO(tk_pack_table_release) struct tk_pack_table table = {0};
	struct tk_cursor cur;
	uint64_t total_bytes;
	enum tk_rc rc;

	if ((rc = source->read(source->ctx, ref, TK_BLOB_BASE_MAP, plain, err)) != TK_OK)
		return rc;
	if ((rc = open_map(&cur, plain, ref.pack, packs, &table, err)) != TK_OK)
		return rc;
	if ((rc = read_list(&cur, &table, list, &total_bytes, err)) != TK_OK)
		return rc;
	if (total_bytes > TK_SEGMENT_LENGTH_MAX)
		tk_cursor_fail(&cur, "the map is longer than a segment");
	return tk_cursor_end(&cur, "segment base map", err);
}

static enum tk_rc
add_run(struct tk_overlay *overlay, struct tk_map_run run, struct tk_err *err)
{
	if (overlay->run_count == overlay->run_cap) {
		size_t cap = overlay->run_cap ? overlay->run_cap * 2 : 16;
		struct tk_map_run *runs = reallocarray(overlay->runs, cap, sizeof(*runs));

		if (!runs)
			return tk_err_set(err, TK_ENOMEM, "no memory for a segment map");
		overlay->runs = runs;
		overlay->run_cap = cap;
	}
	overlay->runs[overlay->run_count++] = run;
	return TK_OK;
}

static enum tk_rc
read_runs(struct tk_cursor *cur, const struct tk_pack_table *table, struct tk_overlay *overlay, struct tk_err *err)
{
	size_t count = (size_t)tk_cursor_uv_max(cur, tk_cursor_left(cur));
	uint64_t end_bytes = 0;
	enum tk_rc rc;

	for (size_t i = 0; i < count && tk_cursor_ok(cur); i++) {
		uint64_t start_bytes = end_bytes + tk_cursor_uv_max(cur, TK_SEGMENT_LENGTH_MAX);
		size_t first = overlay->extents.count;
		uint64_t length_bytes;

		if ((rc = read_list(cur, table, &overlay->extents, &length_bytes, err)) != TK_OK)
			return rc;
		end_bytes = start_bytes + length_bytes;
		if (length_bytes == 0 || length_bytes > TK_SEGMENT_LENGTH_MAX || end_bytes > TK_SEGMENT_LENGTH_MAX) {
			tk_cursor_fail(cur, "a run is empty or leaves the segment");
			break;
		}
		rc = add_run(overlay, (struct tk_map_run){start_bytes, end_bytes, first, overlay->extents.count - first}, err);
		if (rc != TK_OK)
			return rc;
	}
	return tk_cursor_end(cur, "segment overlay map", err);
}

enum tk_rc
tk_overlay_map_read(const struct tk_blob_source *source, struct tk_packtab *packs, struct tk_blob_ref ref, struct tk_buf *plain,
		    struct tk_overlay *overlay, struct tk_err *err)
{
	TK_AUTO(tk_pack_table_release) struct tk_pack_table table = {0};
	struct tk_cursor cur;
	enum tk_rc rc;

	if ((rc = source->read(source->ctx, ref, TK_BLOB_OVERLAY_MAP, plain, err)) != TK_OK)
		return rc;
	overlay->plain_bytes = plain->len_bytes;
	if ((rc = open_map(&cur, plain, ref.pack, packs, &table, err)) != TK_OK)
		return rc;
	return read_runs(&cur, &table, overlay, err);
}

static enum tk_rc
slice(struct tk_extent_cursor *from, uint64_t start_bytes, uint64_t end_bytes, struct tk_extent_rows *to, struct tk_err *err)
{
	enum tk_rc rc = tk_extent_cursor_slice(from, start_bytes, end_bytes - start_bytes, &to->rows, &to->count, &to->cap, err);

	return rc == TK_EINVAL ? tk_err_set(err, TK_ECORRUPT, "segment map: a part of the segment is nowhere") : rc;
}

/* What the list below says, with the overlay's runs in its place. */
static enum tk_rc
apply(const struct tk_extent_rows *below, const struct tk_overlay *overlay, struct tk_extent_rows *out, struct tk_err *err)
{
	uint64_t below_bytes = tk_extents_total_bytes(below->rows, below->count);
	struct tk_extent_cursor cur;
	uint64_t at_bytes = 0;
	enum tk_rc rc;

	tk_extent_cursor_init(&cur, below->rows, below->count);
	for (size_t i = 0; i < overlay->run_count; i++) {
		const struct tk_map_run *run = &overlay->runs[i];

		if ((rc = slice(&cur, at_bytes, run->start_bytes, out, err)) != TK_OK)
			return rc;
		for (size_t k = 0; k < run->count; k++) {
			rc = tk_extents_append(&out->rows, &out->count, &out->cap, overlay->extents.rows[run->first + k], err);
			if (rc != TK_OK)
				return rc;
		}
		at_bytes = run->end_bytes;
	}
	return at_bytes < below_bytes ? slice(&cur, at_bytes, below_bytes, out, err) : TK_OK;
}

static enum tk_rc
apply_overlays(const struct tk_blob_source *source, struct tk_packtab *packs, const struct tk_segment *segment, struct tk_buf *plain,
	       struct tk_extent_rows *list, struct tk_err *err)
{
	for (unsigned i = 0; i < segment->overlay_count; i++) {
		TK_AUTO(tk_overlay_release) struct tk_overlay overlay = {0};
		TK_AUTO(tk_extent_rows_release) struct tk_extent_rows above = {0};
		struct tk_extent_rows below = *list;
		enum tk_rc rc;

		if ((rc = tk_overlay_map_read(source, packs, segment->overlays[i], plain, &overlay, err)) != TK_OK)
			return rc;
		if ((rc = apply(list, &overlay, &above, err)) != TK_OK)
			return rc;
		*list = above;
		above = below;
	}
	return TK_OK;
}

enum tk_rc
tk_segment_extents(const struct tk_blob_source *source, struct tk_packtab *packs, const struct tk_segment *segment, struct tk_extent **out,
		   size_t *count, struct tk_err *err)
{
	TK_AUTO(tk_extent_rows_release) struct tk_extent_rows list = {0};
	TK_AUTO(tk_extent_rows_release) struct tk_extent_rows whole = {0};
	TK_AUTO(tk_buf_release) struct tk_buf plain;
	struct tk_extent_cursor cur;
	enum tk_rc rc;

	tk_buf_init(&plain, TK_BLOB_META_MAX);
	if (segment->overlay_count > TK_OVERLAYS_MAX || segment->length_bytes == 0 || segment->length_bytes > TK_SEGMENT_LENGTH_MAX)
		return tk_err_set(err, TK_ECORRUPT, "a segment is out of bounds");
	if ((rc = tk_base_map_read(source, packs, segment->base, &plain, &list, err)) != TK_OK)
		return rc;
	if ((rc = apply_overlays(source, packs, segment, &plain, &list, err)) != TK_OK)
		return rc;
	/* A base and overlays may reach further than a segment that shrank. */
	tk_extent_cursor_init(&cur, list.rows, list.count);
	if ((rc = slice(&cur, 0, segment->length_bytes, &whole, err)) != TK_OK)
		return rc;
	*out = whole.rows;
	*count = whole.count;
	whole.rows = NULL;
	return TK_OK;
}
