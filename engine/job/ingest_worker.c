#include <stdlib.h>
#include <string.h>

#include "engine/fsio/openat.h"
#include "engine/job/ingest_core.h"

/* A run from here on may hold bytes that are stored elsewhere already: worth chunking. */
#define CHUNKED_RUN_MIN_BYTES 32768u
/* Of the window: what may be read and not taken yet, beside a run of the longest chunk. */
#define WINDOW_AHEAD_BYTES (2u << 20)

enum { CHUNKS_TAG, LITERALS_TAG };

static enum tk_rc
make_parts(struct tk_worker *worker, struct tk_ingest *ingest, struct tk_err *err)
{
	const struct tk_ingest_opts *opts = &ingest->opts;
	enum tk_rc rc;

	if (opts->tag_key && (rc = tk_tagger_new(opts->tag_key, &worker->tagger, err)))
		return rc;
	if ((rc = tk_content_hash_new(opts->suite, opts->segment_bytes, &worker->hash, err)) ||
	    (rc = tk_content_hash_new(opts->suite, opts->segment_bytes, &worker->chunk_hash, err)) ||
	    (rc = tk_hmac_ctx_new(opts->suite, opts->keys->dedup_key, TK_KEY_BYTES, &worker->prf, err)) ||
	    (rc = tk_lane_new(opts->packer, TK_LANE_CHUNKS, CHUNKS_TAG, &worker->chunks, err)) ||
	    (rc = tk_lane_new(opts->packer, TK_LANE_LITERALS, LITERALS_TAG, &worker->literals, err)))
		return rc;
	worker->window_cap = ingest->cdc.max_bytes + WINDOW_AHEAD_BYTES;
	worker->window = malloc(worker->window_cap);
	return worker->window ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory for a window of a file");
}

enum tk_rc
tk_worker_init(struct tk_worker *worker, struct tk_ingest *ingest, struct tk_err *err)
{
	enum tk_rc rc;

	if (worker->ingest)
		return TK_OK;
	if ((rc = make_parts(worker, ingest, err))) {
		tk_worker_release(worker);
		return rc;
	}
	worker->ingest = ingest;
	return TK_OK;
}

void
tk_worker_release(struct tk_worker *worker)
{
	tk_worker_close(worker);
	tk_content_hash_cleanup(&worker->hash);
	tk_content_hash_cleanup(&worker->chunk_hash);
	tk_hmac_ctx_cleanup(&worker->prf);
	tk_lane_cleanup(&worker->chunks);
	tk_lane_cleanup(&worker->literals);
	tk_tagger_cleanup(&worker->tagger);
	tk_facts_draft_release(&worker->draft);
	tk_buf_release(&worker->signature);
	tk_delta_ops_release(&worker->ops);
	tk_refine_release(&worker->refine);
	tk_buf_release(&worker->old_bytes);
	for (unsigned i = 0; i < TK_OLD_FACTS; i++)
		tk_buf_release(&worker->old_facts[i].bytes);
	for (unsigned i = 0; i < TK_OLD_SIGNATURES; i++)
		tk_buf_release(&worker->old_signatures[i].bytes);
	free(worker->window);
	free(worker->list.rows);
	free(worker->slice.rows);
	memset(worker, 0, sizeof(*worker));
}

static void
forget_map(struct tk_old_map *map)
{
	if (map->owned)
		free(map->extents);
	tk_fragments_release(&map->leave);
	*map = (struct tk_old_map){0};
}

static void
forget_signature(struct tk_old_signature *old)
{
	tk_signature_cleanup(&old->loaded);
	old->known = false;
}

void
tk_worker_open(struct tk_worker *worker, struct tk_old_file *old)
{
	tk_worker_close(worker);
	worker->old = old;
}

void
tk_worker_close(struct tk_worker *worker)
{
	for (unsigned i = 0; i < TK_OLD_MAPS; i++)
		forget_map(&worker->old_maps[i]);
	for (unsigned i = 0; i < TK_OLD_FACTS; i++)
		worker->old_facts[i].known = false;
	for (unsigned i = 0; i < TK_OLD_SIGNATURES; i++)
		forget_signature(&worker->old_signatures[i]);
	worker->old = NULL;
}

void
tk_worker_begin(struct tk_worker *worker, uint64_t start_bytes, size_t lead_bytes, bool delta, bool zeros_are_holes)
{
	tk_content_hash_begin(worker->hash);
	tk_lane_clear(worker->chunks);
	tk_lane_clear(worker->literals);
	worker->window_bytes = start_bytes - lead_bytes;
	worker->keep_bytes = UINT64_MAX;
	worker->filled = 0;
	worker->hashed = worker->taken = worker->run_start = lead_bytes;
	worker->search = (struct tk_cdc_search){0};
	worker->run_is_long = false;
	worker->delta = delta;
	worker->zeros_are_holes = zeros_are_holes;
	worker->list.count = worker->settled = 0;
	worker->moved = false;
}

/* What is hashed, in extents and not to be kept leaves the window. */
static void
slide(struct tk_worker *worker)
{
	size_t gone = worker->run_start < worker->hashed ? worker->run_start : worker->hashed;

	if (worker->keep_bytes <= worker->window_bytes)
		return;
	if (worker->keep_bytes - worker->window_bytes < gone)
		gone = (size_t)(worker->keep_bytes - worker->window_bytes);
	memmove(worker->window, worker->window + gone, worker->filled - gone);
	worker->window_bytes += gone;
	worker->filled -= gone;
	worker->hashed -= gone;
	worker->taken -= gone;
	worker->run_start -= gone;
}

static enum tk_rc
make_room(struct tk_worker *worker, size_t len_bytes, struct tk_err *err)
{
	if (len_bytes > worker->window_cap - worker->filled)
		slide(worker);
	if (len_bytes > worker->window_cap - worker->filled)
		return tk_ingest_break(worker->ingest, tk_err_set(err, TK_EINVAL, "too much was read and not taken"));
	return TK_OK;
}

enum tk_rc
tk_worker_read(struct tk_worker *worker, int fd, size_t len_bytes, size_t *got_bytes, struct tk_err *err)
{
	enum tk_rc rc;

	if (len_bytes > TK_WORKER_PIECE_BYTES)
		len_bytes = TK_WORKER_PIECE_BYTES;
	if ((rc = make_room(worker, len_bytes, err)) ||
	    (rc = tk_pread_full(fd, worker->window + worker->filled, len_bytes, worker->window_bytes + worker->filled, got_bytes, "file", err)))
		return rc;
	worker->filled += *got_bytes;
	return TK_OK;
}

enum tk_rc
tk_worker_zeros(struct tk_worker *worker, size_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = make_room(worker, len_bytes, err);

	if (rc)
		return rc;
	memset(worker->window + worker->filled, 0, len_bytes);
	worker->filled += len_bytes;
	return TK_OK;
}

static bool
all_zero(const uint8_t *data, size_t len_bytes)
{
	return len_bytes == 0 || (data[0] == 0 && memcmp(data, data + 1, len_bytes - 1) == 0);
}

enum tk_rc
tk_worker_hash(struct tk_worker *worker, size_t len_bytes, struct tk_err *err)
{
	const uint8_t *data = worker->window + worker->hashed;
	enum tk_rc rc;

	/* Zeros, as holes are full of, cost nothing to hash. */
	if (worker->zeros_are_holes && all_zero(data, len_bytes))
		rc = tk_content_hash_zeros(worker->hash, len_bytes, err);
	else
		rc = tk_content_hash_feed(worker->hash, data, len_bytes, err);
	worker->hashed += len_bytes;
	return rc ? tk_ingest_break(worker->ingest, rc) : TK_OK;
}

enum tk_rc
tk_worker_hash_known(struct tk_worker *worker, const struct tk_digest *leaf, size_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = tk_content_hash_known_leaf(worker->hash, leaf, len_bytes, err);

	worker->hashed += len_bytes;
	return rc ? tk_ingest_break(worker->ingest, rc) : TK_OK;
}

/* ---- new data ---- */

static enum tk_rc
append(struct tk_worker *worker, struct tk_extent extent, struct tk_err *err)
{
	struct tk_extent_list *list = &worker->list;

	return tk_extents_append(&list->rows, &list->count, &list->cap, extent, err);
}

static enum tk_rc
append_hole(struct tk_worker *worker, uint64_t len_bytes, struct tk_err *err)
{
	return append(worker, (struct tk_extent){{TK_PACK_NONE, 0}, 0, (uint32_t)len_bytes}, err);
}

/* Hands the lane over: its extents get their places, and from now on everybody may find its chunks. */
static enum tk_rc
end_lane(struct tk_worker *worker, struct tk_lane *lane, struct tk_err *err)
{
	struct tk_extent_list *list = &worker->list;
	struct tk_lane_place place;
	enum tk_rc rc = tk_lane_end(lane, &place, err);

	if (rc)
		return rc;
	tk_lane_settle(lane, &place, list->rows + worker->settled, list->count - worker->settled);
	while (worker->settled < list->count && list->rows[worker->settled].ref.pack != TK_PACK_STAGED)
		worker->settled++;
	for (size_t i = 0; i < place.row_count && !rc; i++) {
		const struct tk_lane_row *row = &place.rows[i];
		struct tk_extent extent = {place.ref, place.offset_bytes + row->offset_bytes, row->length_bytes};

		rc = tk_dedup_add(worker->ingest->opts.dedup, row->id, &extent, err);
	}
	return rc;
}

static enum tk_rc
stage(struct tk_worker *worker, struct tk_lane *lane, const uint8_t *data, size_t len_bytes, const uint8_t *id, struct tk_err *err)
{
	struct tk_extent extent;
	enum tk_rc rc;

	if (!tk_lane_has_room(lane, len_bytes) && (rc = end_lane(worker, lane, err)))
		return rc;
	if ((rc = tk_lane_put(lane, data, len_bytes, id, &extent, err)))
		return rc;
	return append(worker, extent, err);
}

static enum tk_rc
stage_new(struct tk_worker *worker, struct tk_lane *lane, const uint8_t *data, size_t len_bytes, const uint8_t *id, struct tk_err *err)
{
	worker->stats.literal_bytes += len_bytes;
	return stage(worker, lane, data, len_bytes, id, err);
}

static enum tk_rc
store_chunk(struct tk_worker *worker, const uint8_t *data, size_t len_bytes, struct tk_err *err)
{
	struct tk_ingest *ingest = worker->ingest;
	struct tk_extent extent;
	uint8_t id[16];
	bool found;
	enum tk_rc rc;

	if (worker->delta && worker->zeros_are_holes && all_zero(data, len_bytes))
		return append_hole(worker, len_bytes, err);
	if (len_bytes < TK_INDEXED_MIN_BYTES)
		return stage_new(worker, worker->chunks, data, len_bytes, NULL, err);
	if ((rc = tk_chunk_id(worker, data, len_bytes, NULL, id, err)))
		return rc;
	if (tk_lane_find(worker->chunks, id, len_bytes, &extent))
		return append(worker, extent, err);
	if ((rc = tk_dedup_find(ingest->opts.dedup, id, &extent, &found, err)))
		return rc;
	if (!found || extent.length_bytes != len_bytes)
		return stage_new(worker, worker->chunks, data, len_bytes, id, err);
	tk_ingest_tell_reuse(ingest, extent.ref);
	return append(worker, extent, err);
}

static enum tk_rc
store_literal(struct tk_worker *worker, const uint8_t *data, size_t len_bytes, struct tk_err *err)
{
	if (worker->zeros_are_holes && all_zero(data, len_bytes))
		return append_hole(worker, len_bytes, err);
	return stage_new(worker, worker->literals, data, len_bytes, NULL, err);
}

/* ---- taking bytes ---- */

/* Cuts off the run what can be cut off it. */
static enum tk_rc
cut_run(struct tk_worker *worker, bool at_end, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;
	size_t len;

	while (!rc && (len = tk_cdc_go_on(&worker->ingest->cdc, &worker->search, worker->window + worker->run_start,
					  worker->taken - worker->run_start, at_end))) {
		rc = store_chunk(worker, worker->window + worker->run_start, len, err);
		worker->run_start += len;
	}
	return rc;
}

static bool
is_long(const struct tk_worker *worker)
{
	size_t len = worker->taken - worker->run_start;

	return worker->run_is_long || !worker->delta || (len >= CHUNKED_RUN_MIN_BYTES && len >= worker->ingest->cdc.min_bytes);
}

static enum tk_rc
end_run(struct tk_worker *worker, struct tk_err *err)
{
	size_t len = worker->taken - worker->run_start;
	enum tk_rc rc = TK_OK;

	if (is_long(worker))
		rc = cut_run(worker, true, err);
	else if (len > 0)
		rc = store_literal(worker, worker->window + worker->run_start, len, err);
	worker->run_start = worker->taken;
	worker->run_is_long = false;
	worker->search = (struct tk_cdc_search){0};
	return rc;
}

enum tk_rc
tk_worker_fresh(struct tk_worker *worker, size_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc;

	worker->taken += len_bytes;
	worker->run_is_long = is_long(worker);
	if (!worker->run_is_long)
		return TK_OK;
	rc = cut_run(worker, false, err);
	return rc ? tk_ingest_break(worker->ingest, rc) : TK_OK;
}

void
tk_worker_skip(struct tk_worker *worker, size_t len_bytes)
{
	worker->taken += len_bytes;
	worker->run_start = worker->taken;
}

enum tk_rc
tk_worker_hole(struct tk_worker *worker, size_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = end_run(worker, err);

	if (!rc)
		rc = append_hole(worker, len_bytes, err);
	tk_worker_skip(worker, len_bytes);
	return rc ? tk_ingest_break(worker->ingest, rc) : TK_OK;
}

enum tk_rc
tk_worker_all_hole(struct tk_worker *worker, uint64_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = tk_content_hash_zeros(worker->hash, len_bytes, err);

	if (!rc)
		rc = append_hole(worker, len_bytes, err);
	return rc ? tk_ingest_break(worker->ingest, rc) : TK_OK;
}

static enum tk_rc
load_map(struct tk_worker *worker, size_t index, struct tk_old_map **out, struct tk_err *err)
{
	const struct tk_old_file *old = worker->old;
	struct tk_ingest *ingest = worker->ingest;
	struct tk_old_map *map;

	for (unsigned i = 0; i < TK_OLD_MAPS; i++) {
		*out = &worker->old_maps[i];
		if ((*out)->extents && (*out)->index == index)
			return TK_OK;
	}
	*out = map = &worker->old_maps[worker->next_map++ % TK_OLD_MAPS];
	forget_map(map);
	if (old->segments) {
		enum tk_rc rc = tk_segment_extents(&ingest->source, ingest->opts.packs, &old->segments[index], &map->extents, &map->count, err);

		if (rc)
			return rc;
		map->owned = true;
	} else {
		map->extents = old->entry->extents;
		map->count = old->entry->extent_count;
	}
	map->index = index;
	tk_extent_cursor_init(&map->cursor, map->extents, map->count);
	return tk_fragments_choose(map->extents, map->count, &ingest->rewriting, &map->leave, err);
}

/* Stores the next bytes of the segment anew. Not by their chunks, which would lead back to the blobs that they should leave. */
static enum tk_rc
move(struct tk_worker *worker, const uint8_t *data, size_t len_bytes, struct tk_err *err)
{
	size_t most = tk_lane_max_bytes(worker->chunks);
	enum tk_rc rc = TK_OK;

	worker->stats.rewritten_bytes += len_bytes;
	worker->moved = true;
	for (size_t at = 0; at < len_bytes && !rc; at += most)
		rc = stage(worker, worker->chunks, data + at, len_bytes - at < most ? len_bytes - at : most, NULL, err);
	return rc;
}

/* A part of an old segment, which is the same as `data`: its extents stand, but for those in blobs that should be left. What was chosen once is moved once, however often
 * the new version has it. */
static enum tk_rc
take_slice(struct tk_worker *worker, struct tk_old_map *map, uint64_t off_bytes, uint64_t len_bytes, const uint8_t *data, struct tk_err *err)
{
	struct tk_extent_list *whole = map->leave.live_bytes > 0 ? &worker->slice : &worker->list;
	enum tk_rc rc;

	worker->slice.count = 0;
	rc = tk_extent_cursor_slice(&map->cursor, off_bytes, len_bytes, &whole->rows, &whole->count, &whole->cap, err);
	for (size_t i = 0; i < worker->slice.count && !rc; i++) {
		const struct tk_extent *extent = &worker->slice.rows[i];

		if (extent->length_bytes <= map->leave.live_bytes && tk_refset_has(&map->leave.blobs, extent->ref)) {
			map->leave.live_bytes -= extent->length_bytes;
			rc = move(worker, data, extent->length_bytes, err);
		} else {
			rc = append(worker, *extent, err);
		}
		data += extent->length_bytes;
	}
	return rc;
}

/* May run over the borders of old segments. `data`: the same bytes. */
static enum tk_rc
slice_old(struct tk_worker *worker, uint64_t off_bytes, uint64_t len_bytes, const uint8_t *data, struct tk_err *err)
{
	uint32_t segment_bytes = worker->ingest->opts.segment_bytes;

	if (!worker->old || !worker->old->entry || off_bytes > worker->old->entry->meta.size_bytes ||
	    len_bytes > worker->old->entry->meta.size_bytes - off_bytes)
		return tk_err_set(err, TK_ECORRUPT, "a delta copies from outside of the old file");
	while (len_bytes > 0) {
		size_t index = (size_t)(off_bytes / segment_bytes);
		uint64_t within = off_bytes % segment_bytes;
		uint64_t part = segment_bytes - within < len_bytes ? segment_bytes - within : len_bytes;
		struct tk_old_map *map;
		enum tk_rc rc = load_map(worker, index, &map, err);

		if (rc || (rc = take_slice(worker, map, within, part, data, err)))
			return rc;
		data += part;
		off_bytes += part;
		len_bytes -= part;
	}
	return TK_OK;
}

enum tk_rc
tk_worker_copy(struct tk_worker *worker, uint64_t old_off_bytes, size_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = end_run(worker, err);

	if (!rc)
		rc = slice_old(worker, old_off_bytes, len_bytes, worker->window + worker->taken, err);
	tk_worker_skip(worker, len_bytes);
	worker->stats.copied_bytes += len_bytes;
	return rc ? tk_ingest_break(worker->ingest, rc) : TK_OK;
}

enum tk_rc
tk_worker_end(struct tk_worker *worker, struct tk_err *err)
{
	enum tk_rc rc;

	if ((rc = end_run(worker, err)) || (rc = end_lane(worker, worker->chunks, err)) || (rc = end_lane(worker, worker->literals, err)))
		return tk_ingest_break(worker->ingest, rc);
	return TK_OK;
}

enum tk_rc
tk_worker_digest(struct tk_worker *worker, struct tk_digest *segment, struct tk_digest *whole, struct tk_err *err)
{
	const struct tk_digest *segments;
	struct tk_digest content;
	size_t count = 0;
	enum tk_rc rc = tk_content_hash_finish(worker->hash, &content, err);

	if (!rc) {
		segments = tk_content_hash_segments(worker->hash, &count);
		if (count != 1)
			rc = tk_err_set(err, TK_EINVAL, "%zu segments instead of one", count);
	}
	if (rc)
		return tk_ingest_break(worker->ingest, rc);
	*segment = segments[0];
	if (whole)
		*whole = content;
	return TK_OK;
}
