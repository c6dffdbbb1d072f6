#include <stdlib.h>
#include <string.h>

#include "engine/fsio/openat.h"
#include "engine/job/restore_core.h"
#include "engine/vault/segmap.h"

#define READ_BYTES (1u << 20)
/* From here on a file is restored while no other one of its kind is: each needs memory for a segment. */
#define LARGE_BYTES (4u << 20)

static enum tk_rc
need_window(struct tk_restore_worker *worker, size_t len_bytes, struct tk_err *err)
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

/* Where each extent's bytes belong in the window; sorted by blob, so that each blob is opened once. */
struct piece {
	struct tk_extent extent;
	size_t at;
};

static int
by_blob(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	if (x->extent.ref.pack != y->extent.ref.pack)
		return x->extent.ref.pack < y->extent.ref.pack ? -1 : 1;
	if (x->extent.ref.blob != y->extent.ref.blob)
		return x->extent.ref.blob < y->extent.ref.blob ? -1 : 1;
	return 0;
}

static enum tk_rc
copy_pieces(struct tk_restore_worker *worker, const struct piece *pieces, size_t count, struct tk_err *err)
{
	struct tk_fetch *fetch = worker->restore->opts->fetch;
	size_t i = 0;

	while (i < count) {
		struct tk_fetched *blob = NULL;
		const uint8_t *data;
		size_t len, first = i;
		enum tk_rc rc = tk_fetch_blob(fetch, pieces[i].extent.ref, TK_BLOB_DATA, &blob, err);

		if (rc)
			return rc;
		data = tk_fetched_data(blob, &len);
		for (; i < count && by_blob(&pieces[first], &pieces[i]) == 0; i++) {
			const struct tk_extent *extent = &pieces[i].extent;

			if (extent->offset_bytes > len || extent->length_bytes > len - extent->offset_bytes) {
				tk_fetch_release(fetch, blob);
				return tk_err_set(err, TK_ECORRUPT, "an extent reaches out of its blob");
			}
			memcpy(worker->window + pieces[i].at, data + extent->offset_bytes, extent->length_bytes);
		}
		tk_fetch_release(fetch, blob);
	}
	return TK_OK;
}

/* Brings len_bytes of extents into the window. */
static enum tk_rc
fill_window(struct tk_restore_worker *worker, const struct tk_extent *extents, size_t count, uint64_t len_bytes, struct tk_err *err)
{
	struct piece *pieces = malloc((count + 1) * sizeof(*pieces));
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
			pieces[used++] = (struct piece){extents[i], (size_t)at};
		at += extents[i].length_bytes;
	}
	if (!rc && at != len_bytes)
		rc = tk_err_set(err, TK_ECORRUPT, "the extents are shorter than the file");
	if (!rc) {
		qsort(pieces, used, sizeof(*pieces), by_blob);
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

static enum tk_rc
wrong_content(struct tk_err *err)
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
	if ((rc = need_window(worker, (size_t)size + 1, err)) || (rc = fill_window(worker, entry->extents, entry->extent_count, size, err)) ||
	    (rc = tk_content_hash_all(worker->hash, worker->window, (size_t)size, &digest, err)))
		return rc;
	if (memcmp(&digest, &entry->content, sizeof(digest)) != 0)
		return wrong_content(err);
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
			rc = wrong_content(err);
		else
			*digest = segments[0];
	}
	if (!rc)
		rc = drain_window(worker, extents, count, offset, sink, err);
	free(extents);
	return rc;
}

static bool
cancelled(const struct tk_restore *restore)
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
		rc = need_window(worker, (size_t)longest, err);
	for (size_t i = 0; i < count && !rc; i++) {
		rc = cancelled(restore) ? tk_err_set(err, TK_ECANCELLED, "interrupted")
					: restore_segment(worker, &source, &segments[i], offset, &digests[i], sink, err);
		offset += segments[i].length_bytes;
	}
	if (!rc)
		rc = tk_content_hash_combine(worker->hash, entry->meta.size_bytes, digests, count, &whole, err);
	if (!rc && memcmp(&whole, &entry->content, sizeof(whole)) != 0)
		rc = wrong_content(err);
	free(segments);
	free(digests);
	return rc;
}

enum tk_rc
tk_restore_content(struct tk_restore_worker *worker, const struct tk_entry *entry, const struct tk_byte_sink *sink, struct tk_err *err)
{
	enum tk_rc rc;

	if (entry->kind != TK_CONTENT_SEGMENTS && entry->meta.size_bytes < LARGE_BYTES)
		return restore_inline(worker, entry, sink, err);
	pthread_mutex_lock(&worker->restore->large);
	rc = entry->kind == TK_CONTENT_SEGMENTS ? restore_segments(worker, entry, sink, err) : restore_inline(worker, entry, sink, err);
	/* The memory of a segment is given back: other workers need theirs. */
	free(worker->window);
	worker->window = NULL;
	worker->window_cap = 0;
	pthread_mutex_unlock(&worker->restore->large);
	return rc;
}

enum tk_rc
tk_restore_compare(struct tk_restore_worker *worker, int fd, const struct tk_entry *entry, bool *same, struct tk_err *err)
{
	struct tk_digest digest;
	uint64_t at = 0;
	enum tk_rc rc = need_window(worker, READ_BYTES, err);

	*same = false;
	tk_content_hash_begin(worker->hash);
	while (!rc && at < entry->meta.size_bytes) {
		uint64_t left = entry->meta.size_bytes - at;
		size_t got = 0;

		rc = tk_pread_full(fd, worker->window, left < READ_BYTES ? (size_t)left : READ_BYTES, at, &got, "existing file", err);
		if (!rc && got == 0)
			return TK_OK;
		if (!rc)
			rc = tk_content_hash_feed(worker->hash, worker->window, got, err);
		at += got;
	}
	if (!rc)
		rc = tk_content_hash_finish(worker->hash, &digest, err);
	if (!rc)
		*same = memcmp(&digest, &entry->content, sizeof(digest)) == 0;
	return rc;
}
