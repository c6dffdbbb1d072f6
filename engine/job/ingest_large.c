#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/delta/delta_hint.h"
#include "engine/fsio/holes.h"
#include "engine/fsio/openat.h"
#include "engine/job/ingest_core.h"

#define INLINE_EXTENT_BYTES 2048u

static size_t
count_segments(uint64_t size_bytes, uint32_t segment_bytes)
{
	return (size_t)(size_bytes / segment_bytes + (size_bytes % segment_bytes != 0));
}

uint64_t
tk_large_segment_len(const struct tk_ingest *ingest, uint64_t size_bytes, size_t index)
{
	uint64_t left = size_bytes - (uint64_t)index * ingest->opts.segment_bytes;

	return left < ingest->opts.segment_bytes ? left : ingest->opts.segment_bytes;
}

const struct tk_digest *
tk_old_sig_digest(const struct tk_old_file *old, size_t index)
{
	return old->count == 1 ? &old->entry->content : &old->segments[index].digest;
}

enum tk_rc
tk_large_check(struct tk_large_file *file, struct tk_err *err)
{
	const atomic_bool *cancel = file->ingest->opts.cancel;

	if (cancel && atomic_load(cancel))
		return tk_ingest_break(file->ingest, tk_err_set(err, TK_ECANCELLED, "interrupted"));
	if (atomic_load(&file->failed))
		return tk_err_set(err, TK_ECANCELLED, "another part of the file failed");
	return TK_OK;
}

/* ---- reading a segment ---- */

/* What is done with the bytes of a segment beside hashing them. */
struct reading {
	struct tk_large_file *file;
	struct tk_worker *worker;
	bool store;
	struct tk_sigbuilder *signature;      /* NULL: none is made */
};

static enum tk_rc
sign_zeros(struct tk_sigbuilder *signature, uint64_t len_bytes, struct tk_err *err)
{
	static const uint8_t zeros[4096];
	enum tk_rc rc = TK_OK;

	while (len_bytes > 0 && !rc) {
		size_t piece = len_bytes < sizeof(zeros) ? (size_t)len_bytes : sizeof(zeros);

		rc = tk_sigbuilder_feed(signature, zeros, piece, err);
		len_bytes -= piece;
	}
	return rc;
}

static enum tk_rc
read_hole(const struct reading *reading, uint64_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	if (reading->signature)
		rc = sign_zeros(reading->signature, len_bytes, err);
	if (!rc && !reading->store)
		rc = tk_content_hash_zeros(reading->worker->hash, len_bytes, err);
	if (rc)
		return tk_ingest_break(reading->file->ingest, rc);
	return reading->store ? tk_worker_hole(reading->worker, len_bytes, err) : TK_OK;
}

static enum tk_rc
read_data(const struct reading *reading, uint64_t off_bytes, uint64_t len_bytes, struct tk_err *err)
{
	struct tk_worker *worker = reading->worker;

	while (len_bytes > 0) {
		size_t piece = len_bytes < TK_WORKER_PIECE_BYTES ? (size_t)len_bytes : TK_WORKER_PIECE_BYTES, got = 0;
		enum tk_rc rc = tk_large_check(reading->file, err);

		if (rc || (rc = tk_worker_read(worker, reading->file->fd, off_bytes, piece, &got, err)))
			return rc;
		/* It shrank while it was read: the rest is zeros for this attempt, which the caller sees was not consistent. */
		if (got == 0)
			return read_hole(reading, len_bytes, err);
		if (reading->signature && (rc = tk_sigbuilder_feed(reading->signature, worker->window + worker->filled - got, got, err)))
			return tk_ingest_break(worker->ingest, rc);
		if (!reading->store)
			tk_worker_skip(worker, got);
		else if ((rc = tk_worker_fresh(worker, got, err)))
			return rc;
		off_bytes += got;
		len_bytes -= got;
	}
	return TK_OK;
}

/* Holes are asked for, not read: what is written into one meanwhile is a change like any other. */
static enum tk_rc
read_segment(const struct reading *reading, size_t index, uint64_t len_bytes, struct tk_err *err)
{
	const struct tk_large_file *file = reading->file;
	uint64_t start = (uint64_t)index * file->ingest->opts.segment_bytes;
	struct tk_holes holes = {.fd = file->fd, .size_bytes = start + len_bytes, .pos_bytes = start};
	struct tk_run run;
	enum tk_rc rc = TK_OK;

	tk_worker_begin(reading->worker, false, false);
	if (!file->sparse)
		return read_data(reading, start, len_bytes, err);
	while (!rc && tk_holes_next(&holes, &run))
		rc = run.is_hole ? read_hole(reading, run.len_bytes, err) : read_data(reading, run.offset_bytes, run.len_bytes, err);
	return rc;
}

/* ---- what was there before ---- */

static enum tk_rc
open_old(struct tk_large_file *file, const struct tk_entry *old, struct tk_err *err)
{
	const struct tk_ingest *ingest = file->ingest;

	if (!old || old->meta.size_bytes == 0)
		return TK_OK;
	file->old.entry = old;
	file->old.count = count_segments(old->meta.size_bytes, ingest->opts.segment_bytes);
	if (old->kind != TK_CONTENT_SEGMENTS)
		return TK_OK;
	return tk_segments_read(&ingest->source, ingest->opts.packs, old->segments, old->meta.size_bytes, ingest->opts.segment_bytes,
				&file->old.segments, &file->old.count, err);
}

static bool
is_equal(const struct tk_digest *a, const struct tk_digest *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* Was a segment of this length there before, whose digest is known? An inline file's is the whole content's. */
static bool
has_old(const struct tk_large_file *file, size_t index, uint64_t len_bytes)
{
	if (file->old.segments)
		return index < file->old.count && file->old.segments[index].length_bytes == len_bytes;
	return file->old.entry && file->segment_count == 1 && file->old.entry->meta.size_bytes == file->size_bytes;
}

/* Reads the segment to see whether it is what it was. Then its extents stand. */
static enum tk_rc
keep_if_same(struct tk_large_file *file, struct tk_worker *worker, size_t index, uint64_t len_bytes, bool *same, struct tk_err *err)
{
	struct reading reading = {.file = file, .worker = worker};
	struct tk_digest whole;
	char name[TK_SIG_NAME_MAX];
	enum tk_rc rc = read_segment(&reading, index, len_bytes, err);

	if (rc || (rc = tk_worker_digest(worker, &file->digests[index], &whole, err)))
		return rc;
	if (file->old.segments) {
		*same = is_equal(&file->digests[index], &file->old.segments[index].digest);
		if (!*same)
			return TK_OK;
		file->segments[index] = file->old.segments[index];
		rc = tk_ingest_keep_segment(file->ingest, &file->segments[index], tk_old_sig_digest(&file->old, index), err);
	} else {
		*same = file->same_inline = is_equal(&whole, &file->old.entry->content);
		if (!*same)
			return TK_OK;
		tk_sig_name(&whole, name);
		rc = tk_localstore_mark(file->ingest->opts.local, TK_LOCAL_SIGNATURE, name, err);
	}
	return rc ? tk_ingest_break(file->ingest, rc) : TK_OK;
}

/* ---- storing a segment ---- */

static enum tk_rc
sign_and_store(struct reading *reading, size_t index, uint64_t len_bytes, struct tk_buf *signature, struct tk_err *err)
{
	TK_AUTO(tk_sigbuilder_cleanup) struct tk_sigbuilder *builder = NULL;
	const struct tk_large_file *file = reading->file;
	enum tk_rc rc;

	if (file->sign && (rc = tk_sigbuilder_new(file->block_bytes, TK_SIGNATURE_STRONG_MIN_BYTES, &builder, err)))
		return tk_ingest_break(file->ingest, rc);
	reading->signature = builder;
	rc = read_segment(reading, index, len_bytes, err);
	reading->signature = NULL;
	if (rc || (rc = tk_worker_end(reading->worker, err)) || !builder)
		return rc;
	rc = tk_sigbuilder_finish(builder, signature, err);
	return rc ? tk_ingest_break(file->ingest, rc) : TK_OK;
}

static enum tk_rc
keep_signature(struct tk_large_file *file, const struct tk_digest *digest, const struct tk_buf *signature, struct tk_err *err)
{
	char name[TK_SIG_NAME_MAX];

	if (signature->len_bytes == 0)
		return TK_OK;
	tk_sig_name(digest, name);
	return tk_localstore_put(file->ingest->opts.local, TK_LOCAL_SIGNATURE, name, signature->data, signature->len_bytes, err);
}

/* Stores the segment's map against the one before it. */
static enum tk_rc
store_map(struct tk_large_file *file, const struct tk_worker *worker, size_t index, uint64_t len_bytes, struct tk_err *err)
{
	struct tk_ingest *ingest = file->ingest;
	const struct tk_segment *old = NULL;
	struct tk_extent *old_extents = NULL;
	size_t old_count = 0;
	enum tk_rc rc = TK_OK;

	if (file->old.segments && has_old(file, index, len_bytes)) {
		old = &file->old.segments[index];
		/* Brings the old maps into the local store, too: they are read again under the lock. */
		rc = tk_segment_extents(&ingest->source, ingest->opts.packs, old, &old_extents, &old_count, err);
	}
	if (rc)
		return rc;
	pthread_mutex_lock(&ingest->maps);
	rc = tk_segment_store(&ingest->sink, &ingest->source, ingest->opts.packs, old, old_extents, old_count, worker->list.rows,
			      worker->list.count, &file->digests[index], len_bytes, &file->segments[index], err);
	pthread_mutex_unlock(&ingest->maps);
	free(old_extents);
	return rc;
}

static enum tk_rc
finish_segment(struct tk_large_file *file, struct tk_worker *worker, size_t index, uint64_t len_bytes, const struct tk_buf *signature,
	       struct tk_err *err)
{
	struct tk_digest whole;
	enum tk_rc rc = tk_worker_digest(worker, &file->digests[index], &whole, err);

	if (rc)
		return rc;
	if ((rc = keep_signature(file, file->segment_count == 1 ? &whole : &file->digests[index], signature, err)))
		return tk_ingest_break(file->ingest, rc);
	if (file->segment_count == 1 && tk_extents_encoded_bytes(worker->list.rows, worker->list.count) <= INLINE_EXTENT_BYTES) {
		file->inline_list = worker->list;
		worker->list = (struct tk_extent_list){0};
		return TK_OK;
	}
	rc = store_map(file, worker, index, len_bytes, err);
	return rc ? tk_ingest_break(file->ingest, rc) : TK_OK;
}

static enum tk_rc
ingest_segment(struct tk_large_file *file, struct tk_worker *worker, size_t index, struct tk_err *err)
{
	uint64_t len_bytes = tk_large_segment_len(file->ingest, file->size_bytes, index);
	struct reading reading = {.file = file, .worker = worker, .store = true};
	TK_AUTO(tk_buf_release) struct tk_buf signature = {0};
	uint64_t read_before = worker->stats.read_bytes;
	bool same = false, done = false;
	enum tk_rc rc = tk_large_check(file, err);

	if (!rc && has_old(file, index, len_bytes))
		rc = keep_if_same(file, worker, index, len_bytes, &same, err);
	if (rc || same)
		return rc;
	/* What is read a second time, from the page cache, counts once. */
	worker->stats.read_bytes = read_before;
	if (file->sign && file->old.entry)
		rc = tk_delta_segment(file, worker, index, (size_t)len_bytes, &signature, &done, err);
	if (!rc && !done)
		rc = sign_and_store(&reading, index, len_bytes, &signature, err);
	return rc ? rc : finish_segment(file, worker, index, len_bytes, &signature, err);
}

/* ---- workers ---- */

struct work {
	struct tk_large_file *file;
	struct tk_worker *worker;
};

static void
note_failure(struct tk_large_file *file, const struct tk_err *err)
{
	pthread_mutex_lock(&file->lock);
	if (!atomic_load(&file->failed))
		file->failure = *err;
	atomic_store(&file->failed, true);
	pthread_mutex_unlock(&file->lock);
}

/* Segment after segment, whichever is next, so that the file is read about forwards. */
static void *
work_main(void *arg)
{
	struct work *work = arg;
	struct tk_large_file *file = work->file;
	struct tk_err err;
	size_t index;

	tk_worker_open(work->worker, &file->old);
	while ((index = atomic_fetch_add(&file->next, 1)) < file->segment_count && !atomic_load(&file->failed))
		if (ingest_segment(file, work->worker, index, &err))
			note_failure(file, &err);
	tk_worker_close(work->worker);
	return NULL;
}

/* The run's thread works too; the others live as long as the file is read. With fewer threads than wished it only takes longer. */
static enum tk_rc
run_workers(struct tk_large_file *file, struct tk_err *err)
{
	struct tk_ingest *ingest = file->ingest;
	size_t count = ingest->worker_count < file->segment_count ? ingest->worker_count : file->segment_count, started = 0;
	struct work work[TK_INGEST_THREADS_MAX];
	pthread_t threads[TK_INGEST_THREADS_MAX];
	enum tk_rc rc;

	for (size_t i = 0; i < count; i++) {
		if ((rc = tk_worker_init(&ingest->workers[i], ingest, err)))
			return tk_ingest_break(ingest, rc);
		work[i] = (struct work){file, &ingest->workers[i]};
	}
	while (started + 1 < count && pthread_create(&threads[started], NULL, work_main, &work[started + 1]) == 0)
		started++;
	(void)work_main(&work[0]);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < count; i++) {
		struct tk_ingest_stats *stats = &ingest->workers[i].stats;

		ingest->stats.read_bytes += stats->read_bytes;
		ingest->stats.literal_bytes += stats->literal_bytes;
		ingest->stats.copied_bytes += stats->copied_bytes;
		*stats = (struct tk_ingest_stats){0};
	}
	if (!atomic_load(&file->failed))
		return TK_OK;
	if (err)
		*err = file->failure;
	return file->failure.rc;
}

/* ---- the file ---- */

static enum tk_rc
prepare(struct tk_large_file *file, const char *name, const struct tk_entry *old, struct tk_err *err)
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
	if ((rc = tk_pread_full(file->fd, first, sizeof(first), 0, &got, "file", err)))
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
finish(struct tk_large_file *file, struct tk_content *out, struct tk_err *err)
{
	struct tk_ingest *ingest = file->ingest;
	const struct tk_entry *old = file->old.entry;
	struct tk_blob_ref none = {TK_PACK_NONE, 0};
	enum tk_rc rc;

	if ((rc = tk_content_hash_combine(ingest->workers[0].hash, file->size_bytes, file->digests, file->segment_count, &out->digest, err)))
		return tk_ingest_break(ingest, rc);
	out->size_bytes = file->size_bytes;
	out->unchanged = old && old->meta.size_bytes == file->size_bytes && is_equal(&old->content, &out->digest);
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
	struct tk_large_file file = {.ingest = ingest, .fd = fd, .size_bytes = size_bytes};
	enum tk_rc rc;

	(void)pthread_mutex_init(&file.lock, NULL);
	rc = prepare(&file, name, old, err);
	if (!rc)
		rc = run_workers(&file, err);
	if (!rc)
		rc = finish(&file, out, err);
	(void)pthread_mutex_destroy(&file.lock);
	free(file.old.segments);
	free(file.segments);
	free(file.digests);
	free(file.inline_list.rows);
	return rc;
}
