/* Storing a segment's map: the choice between nothing, an overlay and a new base. */
#include <stdlib.h>

#include "engine/vault/mapcore.h"

/* Where the new list differs; ascending, apart. */
struct range {
	uint64_t start_bytes;
	uint64_t end_bytes;
};

struct range_list {
	struct range *rows;
	size_t count;
	size_t cap;
};

/* One segment on its way. */
struct work {
	const struct tk_page_sink *sink;
	const struct tk_blob_source *source;
	struct tk_packtab *packs;
	const struct tk_extent *extents;
	size_t count;
	uint64_t length_bytes;
	uint32_t own_pack;
	struct tk_pack_locals *locals;
	struct tk_buf scratch, base, overlay;
	struct tk_extent_rows part;
	struct tk_ref_list refs;
	struct range_list ranges;
};

static void
range_list_release(struct range_list *list)
{
	free(list->rows);
	*list = (struct range_list){0};
}

static void
work_release(struct work *work)
{
	tk_pack_locals_cleanup(&work->locals);
	tk_buf_release(&work->scratch);
	tk_buf_release(&work->base);
	tk_buf_release(&work->overlay);
	tk_extent_rows_release(&work->part);
	tk_ref_list_release(&work->refs);
	range_list_release(&work->ranges);
}

/* Ranges come in ascending order of their start. */
static enum tk_rc
add_range(struct range_list *list, uint64_t start_bytes, uint64_t end_bytes, struct tk_err *err)
{
	if (list->count > 0 && start_bytes <= list->rows[list->count - 1].end_bytes) {
		if (end_bytes > list->rows[list->count - 1].end_bytes)
			list->rows[list->count - 1].end_bytes = end_bytes;
		return TK_OK;
	}
	if (list->count == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 16;
		struct range *rows = reallocarray(list->rows, cap, sizeof(*rows));

		if (!rows)
			return tk_err_set(err, TK_ENOMEM, "no memory for a segment map");
		list->rows = rows;
		list->cap = cap;
	}
	list->rows[list->count++] = (struct range){start_bytes, end_bytes};
	return TK_OK;
}

/* A place in a list: `skip` bytes of rows[at] are behind. */
struct walker {
	const struct tk_extent *rows;
	size_t count;
	size_t at;
	uint32_t skip;
};

static bool
same_place(const struct walker *a, const struct walker *b)
{
	const struct tk_extent *x = &a->rows[a->at], *y = &b->rows[b->at];

	if (x->ref.pack != y->ref.pack)
		return false;
	if (x->ref.pack == TK_PACK_NONE)
		return true;
	return x->ref.blob == y->ref.blob && x->offset_bytes + a->skip == y->offset_bytes + b->skip;
}

static uint32_t
walker_left(const struct walker *walker)
{
	return walker->rows[walker->at].length_bytes - walker->skip;
}

static void
walker_step(struct walker *walker, uint32_t step)
{
	walker->skip += step;
	if (walker->skip < walker->rows[walker->at].length_bytes)
		return;
	walker->at++;
	walker->skip = 0;
}

static enum tk_rc
find_changes(struct work *work, const struct tk_extent *old_extents, size_t old_count, struct tk_err *err)
{
	struct walker old = {old_extents, old_count, 0, 0};
	struct walker now = {work->extents, work->count, 0, 0};
	uint64_t at_bytes = 0;
	enum tk_rc rc = TK_OK;

	while (old.at < old.count && now.at < now.count && rc == TK_OK) {
		uint32_t step = walker_left(&old) < walker_left(&now) ? walker_left(&old) : walker_left(&now);

		if (!same_place(&old, &now))
			rc = add_range(&work->ranges, at_bytes, at_bytes + step, err);
		walker_step(&old, step);
		walker_step(&now, step);
		at_bytes += step;
	}
	if (rc == TK_OK && at_bytes < work->length_bytes)
		rc = add_range(&work->ranges, at_bytes, work->length_bytes, err);
	return rc;
}

/* The ranges of the older overlay join those of the new one. */
static enum tk_rc
join_ranges(struct work *work, const struct tk_overlay *older, struct tk_err *err)
{
	struct range_list joined = {0};
	size_t a = 0, b = 0;
	enum tk_rc rc = TK_OK;

	while (rc == TK_OK && (a < work->ranges.count || b < older->run_count)) {
		struct range next;

		if (b == older->run_count ||
		    (a < work->ranges.count && work->ranges.rows[a].start_bytes <= older->runs[b].start_bytes)) {
			next = work->ranges.rows[a++];
		} else {
			next = (struct range){older->runs[b].start_bytes, older->runs[b].end_bytes};
			b++;
		}
		/* What the older overlay says beyond the end went when the segment shrank. */
		if (next.end_bytes > work->length_bytes)
			next.end_bytes = work->length_bytes;
		if (next.start_bytes < next.end_bytes)
			rc = add_range(&joined, next.start_bytes, next.end_bytes, err);
	}
	if (rc != TK_OK) {
		range_list_release(&joined);
		return rc;
	}
	range_list_release(&work->ranges);
	work->ranges = joined;
	return TK_OK;
}

/* Version and pack table before what was encoded into scratch. */
static enum tk_rc
assemble(struct work *work, struct tk_buf *out, struct tk_err *err)
{
	enum tk_rc rc;

	tk_buf_clear(out);
	rc = tk_buf_put_u8(out, TK_PAGE_VERSION, err);
	if (rc == TK_OK)
		rc = tk_pack_locals_put_table(work->locals, work->packs, out, err);
	return rc != TK_OK ? rc : tk_buf_put(out, work->scratch.data, work->scratch.len_bytes, err);
}

static enum tk_rc
encode_base(struct work *work, struct tk_err *err)
{
	enum tk_rc rc;

	tk_buf_clear(&work->scratch);
	tk_pack_locals_reset(work->locals, work->own_pack);
	rc = tk_extents_encode(work->locals, work->extents, work->count, &work->scratch, err);
	return rc != TK_OK ? rc : assemble(work, &work->base, err);
}

static enum tk_rc
encode_overlay(struct work *work, struct tk_err *err)
{
	struct tk_extent_cursor cur;
	uint64_t at_bytes = 0;
	enum tk_rc rc;

	tk_buf_clear(&work->scratch);
	tk_pack_locals_reset(work->locals, work->own_pack);
	work->refs.count = 0;
	tk_extent_cursor_init(&cur, work->extents, work->count);
	rc = tk_buf_put_uv(&work->scratch, work->ranges.count, err);
	for (size_t i = 0; i < work->ranges.count && rc == TK_OK; i++) {
		const struct range *range = &work->ranges.rows[i];
		struct tk_extent_rows *part = &work->part;

		part->count = 0;
		rc = tk_extent_cursor_slice(&cur, range->start_bytes, range->end_bytes - range->start_bytes, &part->rows, &part->count,
					    &part->cap, err);
		if (rc == TK_OK)
			rc = tk_buf_put_uv(&work->scratch, range->start_bytes - at_bytes, err);
		if (rc == TK_OK)
			rc = tk_extents_encode(work->locals, part->rows, part->count, &work->scratch, err);
		if (rc == TK_OK)
			rc = tk_ref_list_add_extents(&work->refs, part->rows, part->count, err);
		at_bytes = range->end_bytes;
	}
	return rc != TK_OK ? rc : assemble(work, &work->overlay, err);
}

/* The factor between the sizes of neighbouring levels that brings the new overlay over the others to the base: its fourth root. With it every
 * byte of a map is rewritten about as often on each level, which is the least in all. */
static uint64_t
growth_factor(uint64_t base_bytes, uint64_t overlay_bytes)
{
	uint64_t factor = 2;

	while (factor * factor * factor * factor * overlay_bytes < base_bytes)
		factor++;
	return factor;
}

/* Merges older overlays into the new one, newest first, while they are not much larger; *kept stay below it. */
static enum tk_rc
merge_overlays(struct work *work, const struct tk_segment *old, uint64_t factor, unsigned *kept, struct tk_err *err)
{
	enum tk_rc rc;

	for (*kept = old->overlay_count; *kept > 0; (*kept)--) {
		TK_AUTO(tk_overlay_release) struct tk_overlay older = {0};

		rc = tk_overlay_map_read(work->source, work->packs, old->overlays[*kept - 1], &work->scratch, &older, err);
		if (rc != TK_OK)
			return rc;
		if (*kept < TK_OVERLAYS_MAX && older.plain_bytes > factor * work->overlay.len_bytes)
			break;
		if ((rc = join_ranges(work, &older, err)) != TK_OK)
			return rc;
		if ((rc = encode_overlay(work, err)) != TK_OK)
			return rc;
	}
	return TK_OK;
}

static enum tk_rc
put_base(struct work *work, struct tk_segment *out, struct tk_err *err)
{
	enum tk_rc rc;

	work->refs.count = 0;
	if ((rc = tk_ref_list_add_extents(&work->refs, work->extents, work->count, err)) != TK_OK)
		return rc;
	out->overlay_count = 0;
	return work->sink->put(work->sink->ctx, TK_BLOB_BASE_MAP, work->base.data, work->base.len_bytes, work->refs.refs, work->refs.count,
			       &out->base, err);
}

static enum tk_rc
store_changes(struct work *work, const struct tk_segment *old, struct tk_segment *out, struct tk_err *err)
{
	uint64_t factor;
	unsigned kept;
	enum tk_rc rc;

	if ((rc = encode_base(work, err)) != TK_OK || (rc = encode_overlay(work, err)) != TK_OK)
		return rc;
	factor = growth_factor(work->base.len_bytes, work->overlay.len_bytes);
	if ((rc = merge_overlays(work, old, factor, &kept, err)) != TK_OK)
		return rc;
	if (work->overlay.len_bytes * factor >= work->base.len_bytes)
		return put_base(work, out, err);
	out->base = old->base;
	for (unsigned i = 0; i < kept; i++)
		out->overlays[i] = old->overlays[i];
	out->overlay_count = kept + 1;
	return work->sink->put(work->sink->ctx, TK_BLOB_OVERLAY_MAP, work->overlay.data, work->overlay.len_bytes, work->refs.refs,
			       work->refs.count, &out->overlays[kept], err);
}

/* True when nothing must be stored: *out has the old maps. */
static enum tk_rc
keep_old(struct work *work, const struct tk_segment *old, const struct tk_extent *old_extents, size_t old_count, struct tk_segment *out,
	 bool *kept, struct tk_err *err)
{
	struct tk_segment fresh = *out;
	enum tk_rc rc = find_changes(work, old_extents, old_count, err);

	*kept = rc == TK_OK && work->ranges.count == 0;
	if (!*kept)
		return rc;
	*out = *old;
	out->digest = fresh.digest;
	out->length_bytes = fresh.length_bytes;
	return TK_OK;
}

enum tk_rc
tk_segment_store(const struct tk_page_sink *sink, const struct tk_blob_source *source, struct tk_packtab *packs, const struct tk_segment *old,
		 const struct tk_extent *old_extents, size_t old_count, const struct tk_extent *extents, size_t count,
		 const struct tk_digest *digest, uint64_t length_bytes, struct tk_segment *out, struct tk_err *err)
{
	TK_AUTO(work_release) struct work work = {
		.sink = sink, .source = source, .packs = packs, .extents = extents, .count = count, .length_bytes = length_bytes};
	bool kept = false;
	enum tk_rc rc;

	if (length_bytes == 0 || length_bytes > TK_SEGMENT_LENGTH_MAX || tk_extents_total_bytes(extents, count) != length_bytes)
		return tk_err_set(err, TK_EINVAL, "the extents do not make up the segment");
	*out = (struct tk_segment){.digest = *digest, .length_bytes = length_bytes};
	if (old && (rc = keep_old(&work, old, old_extents, old_count, out, &kept, err)) != TK_OK)
		return rc;
	if (kept)
		return TK_OK;
	tk_buf_init(&work.base, TK_BLOB_META_MAX);
	tk_buf_init(&work.overlay, TK_BLOB_META_MAX);
	if ((rc = sink->place(sink->ctx, &work.own_pack, err)) != TK_OK)
		return rc;
	if ((rc = tk_pack_locals_new(work.own_pack, &work.locals, err)) != TK_OK)
		return rc;
	if (old)
		return store_changes(&work, old, out, err);
	rc = encode_base(&work, err);
	return rc != TK_OK ? rc : put_base(&work, out, err);
}
