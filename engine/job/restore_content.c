#include <stdlib.h>
#include <string.h>

#include "engine/job/restore_core.h"
#include "engine/vault/segmap.h"

/* A tar archive of more runs than that is read by few programs, and its map is held in memory. */
#define RUNS_MAX (1u << 20)

enum tk_rc
tk_restore_window(struct tk_restore_worker *worker, size_t len_bytes, struct tk_err *err)
{
	uint8_t *grown;

	if (len_bytes <= worker->window_cap)
		return TK_OK;
	free(worker->window);
	worker->window_cap = 0;
	worker->window = grown = malloc(len_bytes);
	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu bytes of a file", len_bytes);
	worker->window_cap = len_bytes;
	return TK_OK;
}

int
tk_piece_by_blob(const void *a, const void *b)
{
	const struct tk_piece *x = a, *y = b;

	if (x->extent.ref.pack != y->extent.ref.pack)
		return x->extent.ref.pack < y->extent.ref.pack ? -1 : 1;
	if (x->extent.ref.blob != y->extent.ref.blob)
		return x->extent.ref.blob < y->extent.ref.blob ? -1 : 1;
	return 0;
}

static enum tk_rc
hold_blob(struct tk_restore_worker *worker, struct tk_blob_ref ref, struct tk_err *err)
{
	struct tk_fetch *fetch = worker->restore->opts->fetch;

	if (worker->held) {
		struct tk_blob_ref held = tk_fetched_ref(worker->held);

		if (held.pack == ref.pack && held.blob == ref.blob)
			return TK_OK;
		(worker->held_to_end ? tk_fetch_release_spent : tk_fetch_release)(fetch, worker->held);
		worker->held = NULL;
	}
	worker->held_to_end = false;
	return tk_fetch_blob(fetch, ref, TK_BLOB_DATA, &worker->held, err);
}

enum tk_rc
tk_restore_extent(struct tk_restore_worker *worker, const struct tk_extent *extent, const uint8_t **data, struct tk_err *err)
{
	const uint8_t *plain;
	size_t len;
	enum tk_rc rc = hold_blob(worker, extent->ref, err);

	if (rc)
		return rc;
	plain = tk_fetched_data(worker->held, &len);
	if (extent->offset_bytes > len || extent->length_bytes > len - extent->offset_bytes)
		return tk_err_set(err, TK_ECORRUPT, "an extent reaches out of its blob");
	worker->held_to_end |= extent->offset_bytes + extent->length_bytes == len;
	*data = plain + extent->offset_bytes;
	return TK_OK;
}

static enum tk_rc
copy_pieces(struct tk_restore_worker *worker, const struct tk_piece *pieces, size_t count, struct tk_err *err)
{
	struct tk_reach reach;
	enum tk_rc rc = TK_OK;

	tk_reach_begin(&reach, worker, &pieces->extent, sizeof(*pieces), count);
	for (size_t i = 0; i < count && !rc; i++) {
		const uint8_t *data;

		tk_reach_at(&reach, i);
		if (!(rc = tk_restore_extent(worker, &pieces[i].extent, &data, err)))
			memcpy(worker->window + pieces[i].at, data, pieces[i].extent.length_bytes);
	}
	tk_reach_end(&reach);
	return rc;
}

/* Brings len_bytes of extents into the window. */
static enum tk_rc
fill_window(struct tk_restore_worker *worker, const struct tk_extent *extents, size_t count, uint64_t len_bytes, struct tk_err *err)
{
	struct tk_piece *pieces = malloc((count + 1) * sizeof(*pieces));
	size_t used = 0;
	uint64_t at = 0;
	enum tk_rc rc = TK_OK;

	if (!pieces)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu extents", count);
	for (size_t i = 0; i < count && !rc; i++) {
		if (extents[i].length_bytes > len_bytes - at)
			rc = tk_err_set(err, TK_ECORRUPT, "the extents are longer than the file");
		else if (extents[i].ref.pack == TK_PACK_NONE)
			memset(worker->window + at, 0, extents[i].length_bytes);
		else
			pieces[used++] = (struct tk_piece){extents[i], at};
		at += extents[i].length_bytes;
	}
	if (!rc && at != len_bytes)
		rc = tk_err_set(err, TK_ECORRUPT, "the extents are shorter than the file");
	if (!rc) {
		qsort(pieces, used, sizeof(*pieces), tk_piece_by_blob);
		rc = copy_pieces(worker, pieces, used, err);
	}
	free(pieces);
	return rc;
}

/* Gives the window to the sink in runs of data and holes. */
static enum tk_rc
drain_window(const struct tk_restore_worker *worker, const struct tk_extent *extents, size_t count, uint64_t offset, const struct tk_byte_sink *sink,
	     struct tk_err *err)
{
	size_t at = 0, i = 0;

	while (i < count) {
		bool hole = extents[i].ref.pack == TK_PACK_NONE;
		size_t run = 0;
		enum tk_rc rc;

		for (; i < count && (extents[i].ref.pack == TK_PACK_NONE) == hole; i++)
			run += extents[i].length_bytes;
		if ((rc = sink->write(sink->ctx, offset + at, hole ? NULL : worker->window + at, run, err)))
			return rc;
		at += run;
	}
	return TK_OK;
}

enum tk_rc
tk_restore_wrong_content(struct tk_err *err)
{
	return tk_err_set(err, TK_ECORRUPT, "the content does not match its digest");
}

static enum tk_rc
restore_inline(struct tk_restore_worker *worker, const struct tk_entry *entry, const struct tk_byte_sink *sink, struct tk_err *err)
{
	uint64_t size = entry->meta.size_bytes;
	struct tk_digest digest;
	enum tk_rc rc;

	if (size > worker->restore->segment_bytes)
		return tk_err_set(err, TK_ECORRUPT, "a file over one segment without a segment tree");
	if ((rc = tk_restore_window(worker, (size_t)size + 1, err)) || (rc = fill_window(worker, entry->extents, entry->extent_count, size, err)) ||
	    (rc = tk_content_hash_all(worker->hash, worker->window, (size_t)size, &digest, err)))
		return rc;
	if (memcmp(&digest, &entry->content, sizeof(digest)) != 0)
		return tk_restore_wrong_content(err);
	return drain_window(worker, entry->extents, entry->extent_count, 0, sink, err);
}

static enum tk_rc
restore_segment(struct tk_restore_worker *worker, const struct tk_blob_source *source, const struct tk_segment *segment, uint64_t offset,
		struct tk_digest *digest, const struct tk_byte_sink *sink, struct tk_err *err)
{
	struct tk_extent *extents = NULL;
	const struct tk_digest *segments;
	struct tk_digest whole;
	size_t count = 0, segment_count = 0;
	enum tk_rc rc;

	if ((rc = tk_segment_extents(source, worker->restore->opts->packs, segment, &extents, &count, err)))
		return rc;
	rc = fill_window(worker, extents, count, segment->length_bytes, err);
	if (!rc)
		rc = tk_content_hash_all(worker->hash, worker->window, (size_t)segment->length_bytes, &whole, err);
	if (!rc) {
		segments = tk_content_hash_segments(worker->hash, &segment_count);
		if (segment_count != 1 || memcmp(segments, &segment->digest, sizeof(*segments)) != 0)
			rc = tk_restore_wrong_content(err);
		else
			*digest = segments[0];
	}
	if (!rc)
		rc = drain_window(worker, extents, count, offset, sink, err);
	free(extents);
	return rc;
}

bool
tk_restore_cancelled(const struct tk_restore *restore)
{
	return atomic_load(&restore->failed) || (restore->opts->cancel && atomic_load(restore->opts->cancel));
}

static enum tk_rc
restore_segments(struct tk_restore_worker *worker, const struct tk_entry *entry, const struct tk_byte_sink *sink, struct tk_err *err)
{
	struct tk_restore *restore = worker->restore;
	struct tk_blob_source source = tk_fetch_source(restore->opts->fetch);
	struct tk_segment *segments = NULL;
	struct tk_digest *digests = NULL, whole;
	size_t count = 0;
	uint64_t offset = 0, longest = entry->meta.size_bytes < restore->segment_bytes ? entry->meta.size_bytes : restore->segment_bytes;
	enum tk_rc rc = tk_segments_read(&source, restore->opts->packs, entry->segments, entry->meta.size_bytes, restore->segment_bytes,
					 &segments, &count, err);

	if (!rc && !(digests = calloc(count + 1, sizeof(*digests))))
		rc = tk_err_set(err, TK_ENOMEM, "no memory for %zu segments", count);
	if (!rc)
		rc = tk_restore_window(worker, (size_t)longest, err);
	for (size_t i = 0; i < count && !rc; i++) {
		rc = tk_restore_cancelled(restore) ? tk_err_set(err, TK_ECANCELLED, "interrupted")
					: restore_segment(worker, &source, &segments[i], offset, &digests[i], sink, err);
		offset += segments[i].length_bytes;
	}
	if (!rc)
		rc = tk_content_hash_combine(worker->hash, entry->meta.size_bytes, digests, count, &whole, err);
	if (!rc && memcmp(&whole, &entry->content, sizeof(whole)) != 0)
		rc = tk_restore_wrong_content(err);
	free(segments);
	free(digests);
	return rc;
}

enum tk_rc
tk_restore_content(struct tk_restore_worker *worker, const struct tk_entry *entry, const struct tk_byte_sink *sink, struct tk_err *err)
{
	return entry->kind == TK_CONTENT_SEGMENTS ? restore_segments(worker, entry, sink, err) : restore_inline(worker, entry, sink, err);
}

/* ---- holes ---- */

struct run_list {
	struct tk_run *runs;
	size_t count, cap;
	uint64_t end_bytes;
	bool any_hole;
};

static enum tk_rc
add_run(struct run_list *list, uint64_t len_bytes, bool is_hole, struct tk_err *err)
{
	struct tk_run *last = list->count ? &list->runs[list->count - 1] : NULL, *grown;

	list->any_hole |= is_hole;
	if (last && last->is_hole == is_hole) {
		last->len_bytes += len_bytes;
	} else if (list->count <= RUNS_MAX) {
		if (list->count == list->cap) {
			list->cap = list->cap ? 2 * list->cap : 16;
			if (!(grown = realloc(list->runs, list->cap * sizeof(*grown))))
				return tk_err_set(err, TK_ENOMEM, "no memory for the holes of a file");
			list->runs = grown;
		}
		list->runs[list->count++] = (struct tk_run){list->end_bytes, len_bytes, is_hole};
	}
	list->end_bytes += len_bytes;
	return TK_OK;
}

static enum tk_rc
add_extents(struct run_list *list, const struct tk_extent *extents, size_t count, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < count && !rc; i++)
		rc = add_run(list, extents[i].length_bytes, extents[i].ref.pack == TK_PACK_NONE, err);
	return rc;
}

static enum tk_rc
add_segments(struct tk_restore *restore, const struct tk_entry *entry, struct run_list *list, struct tk_err *err)
{
	struct tk_blob_source source = tk_fetch_source(restore->opts->fetch);
	struct tk_segment *segments = NULL;
	size_t count = 0;
	enum tk_rc rc = tk_segments_read(&source, restore->opts->packs, entry->segments, entry->meta.size_bytes, restore->segment_bytes, &segments, &count, err);

	for (size_t i = 0; i < count && !rc; i++) {
		struct tk_extent *extents = NULL;
		size_t extent_count = 0;

		if (tk_restore_cancelled(restore))
			rc = tk_err_set(err, TK_ECANCELLED, "interrupted");
		else if (!(rc = tk_segment_extents(&source, restore->opts->packs, &segments[i], &extents, &extent_count, err)))
			rc = add_extents(list, extents, extent_count, err);
		free(extents);
	}
	free(segments);
	return rc;
}

enum tk_rc
tk_restore_runs(struct tk_restore *restore, const struct tk_entry *entry, struct tk_run **runs, size_t *count, struct tk_err *err)
{
	struct run_list list = {0};
	enum tk_rc rc = entry->kind == TK_CONTENT_SEGMENTS ? add_segments(restore, entry, &list, err)
							   : add_extents(&list, entry->extents, entry->extent_count, err);

	*runs = NULL;
	*count = 0;
	if (rc || !list.any_hole || list.count > RUNS_MAX) {
		free(list.runs);
		return rc;
	}
	*runs = list.runs;
	*count = list.count;
	return TK_OK;
}
