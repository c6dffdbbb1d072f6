#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/delta/delta.h"
#include "engine/delta/delta_hint.h"
#include "engine/delta/signature.h"
#include "engine/fsio/openat.h"
#include "engine/job/ingest_core.h"

#define INLINE_EXTENT_BYTES 2048u
/* A segment is searched for in its own place and in its neighbours'. */
#define OLD_NEIGHBOURS 3u
/* librsync's search through bytes that match nothing is slow: it skips ahead after this much. */
#define MISS_LIMIT_BYTES (1u << 20)

/* The version before, as far as it was looked at. */
struct old_file {
	const struct tk_entry *entry;         /* NULL: none */
	struct tk_segment *segments;          /* NULL while the file is one inline list */
	size_t count;
};

/* One old segment, ready for a delta. */
struct old_segment {
	size_t index;
	uint64_t start_bytes, length_bytes;
	struct tk_buf signature;
	struct tk_extent *extents;            /* owned unless inline */
	size_t extent_count;
	bool owned;
};

struct large_file {
	struct tk_ingest *ingest;
	int fd;
	uint64_t size_bytes;
	bool sparse;
	bool sign;                            /* make signatures */
	size_t block_bytes;
	struct old_file old;
	struct tk_segment *segments;          /* of the new version; base is TK_PACK_NONE until stored */
	struct tk_digest *digests;
	size_t segment_count;
	struct tk_extent_list inline_list;    /* of a file that is one segment */
	bool same_inline;                     /* the same bytes as before: the old extents stand */
};

static size_t
count_segments(uint64_t size_bytes, uint32_t segment_bytes)
{
	return (size_t)((size_bytes + segment_bytes - 1) / segment_bytes);
}

static uint64_t
segment_len(uint64_t size_bytes, uint32_t segment_bytes, size_t index)
{
	uint64_t start = (uint64_t)index * segment_bytes, left = size_bytes - start;

	return left < segment_bytes ? left : segment_bytes;
}

static enum tk_rc
open_old(struct large_file *file, const struct tk_entry *old, struct tk_err *err)
{
	file->old.entry = old;
	if (!old || old->meta.size_bytes == 0) {
		file->old.entry = NULL;
		return TK_OK;
	}
	file->old.count = count_segments(old->meta.size_bytes, file->ingest->opts.segment_bytes);
	if (old->kind != TK_CONTENT_SEGMENTS)
		return TK_OK;
	return tk_segments_read(&file->ingest->source, file->ingest->opts.packs, old->segments, old->meta.size_bytes,
				file->ingest->opts.segment_bytes, &file->old.segments, &file->old.count, err);
}

static const struct tk_digest *
old_sig_digest(const struct old_file *old, size_t index)
{
	return old->count == 1 ? &old->entry->content : &old->segments[index].digest;
}

static void
old_segment_release(struct old_segment *seg)
{
	tk_buf_release(&seg->signature);
	if (seg->owned)
		free(seg->extents);
}

/* Loads signature and extents of an old segment; TK_ENOENT when it has no signature here. */
static enum tk_rc
old_segment_load(struct large_file *file, size_t index, struct old_segment *seg, struct tk_err *err)
{
	struct tk_ingest *ingest = file->ingest;
	char name[TK_SIG_NAME_MAX];
	enum tk_rc rc;

	memset(seg, 0, sizeof(*seg));
	seg->index = index;
	seg->start_bytes = (uint64_t)index * ingest->opts.segment_bytes;
	seg->length_bytes = segment_len(file->old.entry->meta.size_bytes, ingest->opts.segment_bytes, index);
	tk_sig_name(old_sig_digest(&file->old, index), name);
	if ((rc = tk_localstore_get(ingest->opts.local, TK_LOCAL_SIGNATURE, name, &seg->signature, err)))
		return rc;
	if (!file->old.segments) {
		seg->extents = file->old.entry->extents;
		seg->extent_count = file->old.entry->extent_count;
		return TK_OK;
	}
	seg->owned = true;
	return tk_segment_extents(&ingest->source, ingest->opts.packs, &file->old.segments[index], &seg->extents, &seg->extent_count, err);
}

/* The old segments that a new one is searched in: the one at its place first. */
static enum tk_rc
load_neighbours(struct large_file *file, size_t index, struct old_segment segs[OLD_NEIGHBOURS], size_t *count, struct tk_err *err)
{
	const size_t order[OLD_NEIGHBOURS] = {index, index + 1, index - 1};

	*count = 0;
	for (size_t i = 0; i < OLD_NEIGHBOURS; i++) {
		enum tk_rc rc;

		if (order[i] >= file->old.count)
			continue;
		rc = old_segment_load(file, order[i], &segs[*count], err);
		if (rc == TK_ENOENT) {
			old_segment_release(&segs[*count]);
			continue;
		}
		(*count)++;
		if (rc)
			return rc;
	}
	return TK_OK;
}

/* The segment in memory, at its place in the file. */
struct window_source {
	const uint8_t *data;
	uint64_t start_bytes;
	size_t len_bytes;
};

static enum tk_rc
read_window(void *ctx, uint64_t off_bytes, size_t len_bytes, uint8_t *dst, struct tk_err *err)
{
	const struct window_source *window = ctx;
	uint64_t at = off_bytes - window->start_bytes;

	if (off_bytes < window->start_bytes || at > window->len_bytes || len_bytes > window->len_bytes - at)
		return tk_err_set(err, TK_EINVAL, "a read outside of the segment");
	memcpy(dst, window->data + at, len_bytes);
	return TK_OK;
}

/* A COPY may run over the border of two old segments. */
static enum tk_rc
apply_copy(struct large_file *file, const struct old_segment *segs, size_t count, uint64_t off, uint64_t len, struct tk_extent_list *out,
	   struct tk_err *err)
{
	while (len > 0) {
		const struct old_segment *seg = NULL;
		uint64_t part;
		enum tk_rc rc;

		for (size_t i = 0; i < count && !seg; i++)
			if (off >= segs[i].start_bytes && off - segs[i].start_bytes < segs[i].length_bytes)
				seg = &segs[i];
		if (!seg)
			return tk_err_set(err, TK_ECORRUPT, "a delta copies from outside of the old segments");
		part = seg->length_bytes - (off - seg->start_bytes);
		if (part > len)
			part = len;
		if ((rc = tk_extents_slice(seg->extents, seg->extent_count, off - seg->start_bytes, part, &out->rows, &out->count, &out->cap, err)))
			return rc;
		file->ingest->stats.copied_bytes += part;
		off += part;
		len -= part;
	}
	return TK_OK;
}

static enum tk_rc
apply_ops(struct large_file *file, const struct tk_delta_ops *ops, const struct old_segment *segs, size_t count, size_t window_len,
	  struct tk_extent_list *out, struct tk_err *err)
{
	size_t at = 0;
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < ops->count && !rc; i++) {
		const struct tk_delta_op *op = &ops->rows[i];

		if (op->len_bytes > window_len - at)
			return tk_err_set(err, TK_ECORRUPT, "a delta is longer than its segment");
		if (op->kind == TK_DELTA_COPY)
			rc = apply_copy(file, segs, count, op->old_off_bytes, op->len_bytes, out, err);
		else
			rc = tk_ingest_literal(file->ingest, file->ingest->window + at, (size_t)op->len_bytes, file->sparse, out, err);
		at += (size_t)op->len_bytes;
	}
	return rc;
}

static enum tk_rc
search_olds(struct large_file *file, size_t index, size_t window_len, const struct tk_buf *signature, const struct old_segment *segs, size_t count,
	    struct tk_delta_ops *ops, struct tk_err *err)
{
	struct window_source window = {file->ingest->window, (uint64_t)index * file->ingest->opts.segment_bytes, window_len};
	struct tk_delta_old olds[OLD_NEIGHBOURS];
	struct tk_delta_request request = {
		.source = {read_window, &window},
		.off_bytes = window.start_bytes,
		.len_bytes = window_len,
		.signature = signature->data,
		.signature_len_bytes = signature->len_bytes,
		.olds = olds,
		.old_count = count,
		.miss_limit_bytes = MISS_LIMIT_BYTES,
	};

	for (size_t i = 0; i < count; i++)
		olds[i] = (struct tk_delta_old){segs[i].start_bytes, segs[i].length_bytes, segs[i].signature.data, segs[i].signature.len_bytes};
	return tk_delta_search(&request, ops, err);
}

/* Delta of the window against the old segments; *done stays false when there is nothing to compare with. */
static enum tk_rc
delta_segment(struct large_file *file, size_t index, size_t window_len, const struct tk_buf *signature, struct tk_extent_list *out, bool *done,
	      struct tk_err *err)
{
	struct old_segment segs[OLD_NEIGHBOURS];
	TK_AUTO(tk_delta_ops_release) struct tk_delta_ops ops = {0};
	size_t count = 0;
	enum tk_rc rc = load_neighbours(file, index, segs, &count, err);

	if (!rc && count > 0) {
		rc = search_olds(file, index, window_len, signature, segs, count, &ops, err);
		if (rc == TK_ECORRUPT || rc == TK_EUNSUPPORTED) {
			rc = TK_OK; /* a signature that is of no use: the range is stored as it is */
		} else if (!rc) {
			rc = apply_ops(file, &ops, segs, count, window_len, out, err);
			*done = !rc;
		}
	}
	for (size_t i = 0; i < count; i++)
		old_segment_release(&segs[i]);
	if (!rc && *done)
		rc = tk_packer_end_literals(file->ingest->opts.packer, err);
	return rc;
}

/* Stores a range of the window as chunks, holes left out. */
static enum tk_rc
chunk_segment(struct large_file *file, uint64_t start, size_t window_len, struct tk_extent_list *out, struct tk_err *err)
{
	struct tk_ingest *ingest = file->ingest;
	size_t at = 0;

	while (at < window_len) {
		off_t data = (off_t)(start + at), hole = (off_t)(start + window_len);
		size_t data_at = at, data_end = window_len;
		enum tk_rc rc;

		if (file->sparse) {
			data = lseek(file->fd, data, SEEK_DATA);
			data_at = data < 0 || (uint64_t)data >= start + window_len ? window_len : (size_t)((uint64_t)data - start);
			hole = data_at < window_len ? lseek(file->fd, (off_t)(start + data_at), SEEK_HOLE) : hole;
			data_end = hole < 0 || (uint64_t)hole >= start + window_len ? window_len : (size_t)((uint64_t)hole - start);
			/* What was a hole may have been written to since it was read. */
			if (data_at > at && !tk_all_zero(ingest->window + at, data_at - at))
				data_at = at;
			if (data_end <= data_at)
				data_end = window_len;
		}
		if (data_at > at &&
		    (rc = tk_extents_append(&out->rows, &out->count, &out->cap,
					    (struct tk_extent){{TK_PACK_NONE, 0}, 0, (uint32_t)(data_at - at)}, err)))
			return tk_ingest_break(ingest, rc);
		if (data_at < window_len &&
		    (rc = tk_ingest_chunks(ingest, ingest->window + data_at, data_end - data_at, NULL, out, err)))
			return rc;
		at = data_at < window_len ? data_end : window_len;
	}
	return TK_OK;
}

static enum tk_rc
store_signature(struct large_file *file, size_t index, const struct tk_buf *signature, struct tk_err *err)
{
	char name[TK_SIG_NAME_MAX];
	struct tk_digest whole;
	enum tk_rc rc;

	if (signature->len_bytes == 0)
		return TK_OK;
	whole = file->digests[index];
	if (file->segment_count == 1 &&
	    (rc = tk_content_hash_combine(file->ingest->hash, file->size_bytes, file->digests, 1, &whole, err)))
		return rc;
	tk_sig_name(&whole, name);
	return tk_localstore_put(file->ingest->opts.local, TK_LOCAL_SIGNATURE, name, signature->data, signature->len_bytes, err);
}

/* Is the old segment at this place the same, byte for byte? */
static bool
same_as_old(const struct large_file *file, size_t index, uint64_t len)
{
	return file->old.segments && index < file->old.count && file->old.segments[index].length_bytes == len &&
	       memcmp(&file->old.segments[index].digest, &file->digests[index], sizeof(file->digests[index])) == 0;
}

static enum tk_rc
keep_old_segment(struct large_file *file, size_t index, struct tk_err *err)
{
	file->segments[index] = file->old.segments[index];
	return tk_ingest_keep_segment(file->ingest, &file->segments[index], old_sig_digest(&file->old, index), err);
}

/* The only segment of a file whose extents are in its entry: is it the same as before? Then they stand. */
static enum tk_rc
check_same_inline(struct large_file *file, struct tk_err *err)
{
	const struct tk_entry *old = file->old.entry;
	char name[TK_SIG_NAME_MAX];
	struct tk_digest whole;
	enum tk_rc rc;

	if (!old || old->kind != TK_CONTENT_EXTENTS || file->segment_count != 1 || old->meta.size_bytes != file->size_bytes)
		return TK_OK;
	if ((rc = tk_content_hash_combine(file->ingest->hash, file->size_bytes, file->digests, 1, &whole, err)))
		return rc;
	file->same_inline = memcmp(&whole, &old->content, sizeof(whole)) == 0;
	if (!file->same_inline)
		return TK_OK;
	tk_sig_name(&whole, name);
	return tk_localstore_mark(file->ingest->opts.local, TK_LOCAL_SIGNATURE, name, err);
}

/* Stores the segment's map against the one before it. */
static enum tk_rc
store_map(struct large_file *file, size_t index, uint64_t len, const struct tk_extent_list *list, struct tk_err *err)
{
	struct tk_ingest *ingest = file->ingest;
	const struct tk_segment *old = NULL;
	struct tk_extent *old_extents = NULL;
	size_t old_count = 0;
	enum tk_rc rc = TK_OK;

	if (file->old.segments && index < file->old.count && file->old.segments[index].length_bytes == len) {
		old = &file->old.segments[index];
		rc = tk_segment_extents(&ingest->source, ingest->opts.packs, old, &old_extents, &old_count, err);
	}
	if (!rc)
		rc = tk_segment_store(&ingest->sink, &ingest->source, ingest->opts.packs, old, old_extents, old_count, list->rows, list->count,
				      &file->digests[index], len, &file->segments[index], err);
	free(old_extents);
	return rc;
}

/* The window holds segment `index`: finds its extents. */
static enum tk_rc
segment_extents(struct large_file *file, size_t index, size_t len, struct tk_extent_list *list, struct tk_err *err)
{
	struct tk_ingest *ingest = file->ingest;
	TK_AUTO(tk_buf_release) struct tk_buf signature = {0};
	bool done = false;
	enum tk_rc rc;

	if (file->sign && (rc = tk_signature_build(ingest->window, len, file->block_bytes, TK_SIGNATURE_STRONG_MIN_BYTES, &signature, err)))
		return tk_ingest_break(ingest, rc);
	if (file->old.entry && signature.len_bytes > 0 && (rc = delta_segment(file, index, len, &signature, list, &done, err)))
		return tk_ingest_break(ingest, rc);
	if (!done && (rc = chunk_segment(file, (uint64_t)index * ingest->opts.segment_bytes, len, list, err)))
		return rc;
	rc = store_signature(file, index, &signature, err);
	return rc ? tk_ingest_break(ingest, rc) : TK_OK;
}

/* Of the segment in the window. */
static enum tk_rc
segment_digest(struct tk_ingest *ingest, size_t len, struct tk_digest *out, struct tk_err *err)
{
	const struct tk_digest *segments;
	struct tk_digest whole;
	size_t count = 0;
	enum tk_rc rc;

	if ((rc = tk_content_hash_all(ingest->hash, ingest->window, len, &whole, err)))
		return rc;
	segments = tk_content_hash_segments(ingest->hash, &count);
	if (count != 1)
		return tk_err_set(err, TK_EINVAL, "a segment longer than a segment");
	*out = segments[0];
	return TK_OK;
}

static enum tk_rc
ingest_segment(struct large_file *file, size_t index, struct tk_err *err)
{
	struct tk_ingest *ingest = file->ingest;
	uint64_t start = (uint64_t)index * ingest->opts.segment_bytes;
	size_t want = (size_t)segment_len(file->size_bytes, ingest->opts.segment_bytes, index), got = 0;
	struct tk_extent_list list = {0};
	enum tk_rc rc;

	if (ingest->opts.cancel && atomic_load(ingest->opts.cancel))
		return tk_ingest_break(ingest, tk_err_set(err, TK_ECANCELLED, "interrupted"));
	if ((rc = tk_pread_full(file->fd, ingest->window, want, start, &got, "file", err)))
		return rc;
	ingest->stats.read_bytes += got;
	/* It shrank while it was read: the rest is zeros for this attempt, which the caller sees was not consistent. */
	memset(ingest->window + got, 0, want - got);
	if ((rc = segment_digest(ingest, want, &file->digests[index], err)) || (rc = check_same_inline(file, err)))
		return tk_ingest_break(ingest, rc);
	if (file->same_inline)
		return TK_OK;
	if (same_as_old(file, index, want)) {
		rc = keep_old_segment(file, index, err);
		return rc ? tk_ingest_break(ingest, rc) : TK_OK;
	}
	if ((rc = segment_extents(file, index, want, &list, err))) {
		free(list.rows);
		return rc;
	}
	if (file->segment_count == 1 && tk_extents_encoded_bytes(list.rows, list.count) <= INLINE_EXTENT_BYTES) {
		file->inline_list = list;
		return TK_OK;
	}
	rc = store_map(file, index, want, &list, err);
	free(list.rows);
	return rc ? tk_ingest_break(ingest, rc) : TK_OK;
}

static enum tk_rc
prepare(struct large_file *file, const char *name, const struct tk_entry *old, struct tk_err *err)
{
	struct tk_ingest *ingest = file->ingest;
	uint8_t first[TK_DELTA_GUESS_BYTES];
	size_t got = 0;
	off_t hole;
	enum tk_rc rc;

	file->segment_count = count_segments(file->size_bytes, ingest->opts.segment_bytes);
	file->segments = calloc(file->segment_count, sizeof(*file->segments));
	file->digests = calloc(file->segment_count, sizeof(*file->digests));
	if (!file->segments || !file->digests)
		return tk_ingest_break(ingest, tk_err_set(err, TK_ENOMEM, "no memory for %zu segments", file->segment_count));
	if ((rc = tk_ingest_window(ingest, (size_t)segment_len(file->size_bytes, ingest->opts.segment_bytes, 0), err)) ||
	    (rc = tk_pread_full(file->fd, first, sizeof(first), 0, &got, "file", err)))
		return rc;
	hole = lseek(file->fd, 0, SEEK_HOLE);
	file->sparse = hole >= 0 && (uint64_t)hole < file->size_bytes;
	if ((rc = open_old(file, old, err)))
		return tk_ingest_break(ingest, rc);
	file->block_bytes = ingest->opts.block_bytes;
	if (file->block_bytes == 0)
		file->block_bytes = tk_delta_block_bytes(file->size_bytes, tk_delta_guess_file(first, got, name).page_bytes);
	file->sign = ingest->opts.signature != TK_SIGNATURE_NEVER && file->size_bytes >= ingest->opts.delta_min_bytes &&
		     (file->old.entry || ingest->opts.signature == TK_SIGNATURE_AT_ONCE);
	return TK_OK;
}

static enum tk_rc
finish(struct large_file *file, struct tk_content *out, struct tk_err *err)
{
	struct tk_ingest *ingest = file->ingest;
	const struct tk_entry *old = file->old.entry;
	struct tk_blob_ref none = {TK_PACK_NONE, 0};
	enum tk_rc rc;

	if ((rc = tk_content_hash_combine(ingest->hash, file->size_bytes, file->digests, file->segment_count, &out->digest, err)))
		return tk_ingest_break(ingest, rc);
	out->size_bytes = file->size_bytes;
	out->unchanged = old && old->meta.size_bytes == file->size_bytes && memcmp(&old->content, &out->digest, sizeof(out->digest)) == 0;
	if (file->same_inline) {
		rc = tk_ingest_take_old(old, out, err);
		return rc ? tk_ingest_break(ingest, rc) : TK_OK;
	}
	if (file->inline_list.count > 0) {
		free(out->extents);
		out->kind = TK_CONTENT_EXTENTS;
		out->extents = file->inline_list.rows;
		out->extent_count = file->inline_list.count;
		out->extent_cap = file->inline_list.cap;
		file->inline_list = (struct tk_extent_list){0};
		return TK_OK;
	}
	out->kind = TK_CONTENT_SEGMENTS;
	rc = tk_segments_store(&ingest->sink, &ingest->source, ingest->opts.packs, file->segments, file->segment_count,
			       file->old.segments ? old->segments : none, &out->segments, err);
	return rc ? tk_ingest_break(ingest, rc) : TK_OK;
}

enum tk_rc
tk_ingest_large(struct tk_ingest *ingest, int fd, const char *name, uint64_t size_bytes, const struct tk_entry *old, struct tk_content *out,
		struct tk_err *err)
{
	struct large_file file = {.ingest = ingest, .fd = fd, .size_bytes = size_bytes};
	enum tk_rc rc = prepare(&file, name, old, err);

	for (size_t i = 0; i < file.segment_count && !rc; i++)
		rc = ingest_segment(&file, i, err);
	if (!rc)
		rc = finish(&file, out, err);
	free(file.old.segments);
	free(file.segments);
	free(file.digests);
	free(file.inline_list.rows);
	return rc;
}
