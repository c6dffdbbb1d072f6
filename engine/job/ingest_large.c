#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/delta/delta_hint.h"
#include "engine/fsio/openat.h"
#include "engine/job/ingest_core.h"

#define INLINE_EXTENT_BYTES 2048u
#define SEGMENT_BLOCKS_MAX (1u << 18) /* 5 MiB of facts */

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
tk_old_facts_digest(const struct tk_old_file *old, size_t index)
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

/* ---- what was there before ---- */

static void
forget_old(struct tk_large_file *file)
{
	free(file->old.segments);
	file->old.segments = NULL;
	file->old.entry = NULL;
	file->old.count = 0;
	file->old.is_guess = false;
}

static enum tk_rc
open_old(struct tk_large_file *file, const struct tk_ingest_past *past, struct tk_err *err)
{
	const struct tk_ingest *ingest = file->ingest;
	const struct tk_entry *old = past->entry;
	enum tk_rc rc;

	if (!old || old->meta.size_bytes == 0)
		return TK_OK;
	file->old.entry = old;
	file->old.is_guess = past->is_guess;
	file->old.fd = past->fd;
	file->old.count = count_segments(old->meta.size_bytes, ingest->opts.segment_bytes);
	if (old->kind != TK_CONTENT_SEGMENTS)
		return TK_OK;
	rc = tk_segments_read(&ingest->source, ingest->opts.packs, old->segments, old->meta.size_bytes, ingest->opts.segment_bytes, &file->old.segments,
			      &file->old.count, err);
	if (!past->is_guess || !tk_ingest_is_unavailable(rc))
		return rc;
	forget_old(file);
	return TK_OK;
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

/* ---- a segment ---- */

/* Under which digest the facts of a new segment are kept; as tk_old_facts_digest for the version after this one. */
static const struct tk_digest *
facts_digest(const struct tk_large_file *file, size_t index, const struct tk_digest *whole)
{
	return file->segment_count == 1 ? whole : &file->digests[index];
}

/* Keeps what was learned of the segment. */
static enum tk_rc
keep_facts(struct tk_large_file *file, struct tk_worker *worker, const struct tk_digest *digest, struct tk_err *err)
{
	struct tk_localstore *local = file->ingest->opts.local;
	char name[TK_LOCAL_NAME_MAX];
	enum tk_rc rc = TK_OK;

	tk_facts_name(digest, name);
	if (worker->has_draft)
		rc = tk_localstore_put(local, TK_LOCAL_FACTS, name, worker->draft.bytes.data, worker->draft.bytes.len_bytes, err);
	if (!rc && worker->signature.len_bytes > 0)
		rc = tk_localstore_put(local, TK_LOCAL_SIGNATURE, name, worker->signature.data, worker->signature.len_bytes, err);
	return rc;
}

static enum tk_rc
look_up_facts(struct tk_large_file *file, struct tk_worker *worker, size_t index, bool *there, struct tk_err *err)
{
	const struct tk_facts *facts = NULL;
	enum tk_rc rc = file->old.has_facts ? tk_past_facts(worker, index, &facts, err) : TK_OK;

	*there = facts != NULL;
	return rc ? tk_ingest_break(file->ingest, rc) : TK_OK;
}

/* Is the segment that was passed over what it was? Then its extents stand, unless some of it was stored anew. whole: its digest as a whole content. */
static enum tk_rc
keep_if_same(struct tk_large_file *file, struct tk_worker *worker, size_t index, const struct tk_digest *whole, bool *same, struct tk_err *err)
{
	const struct tk_old_file *old = &file->old;
	const struct tk_digest *facts = facts_digest(file, index, whole);
	bool there;
	enum tk_rc rc;

	*same = old->segments ? is_equal(&file->digests[index], &old->segments[index].digest) : is_equal(whole, &old->entry->content);
	*same = *same && !worker->moved;
	if (!*same)
		return TK_OK;
	if ((rc = look_up_facts(file, worker, index, &there, err)))
		return rc;
	/* A passage over the same bytes adds nothing to them; but a file that was one segment and is several now looks for them elsewhere. */
	if (there && is_equal(facts, tk_old_facts_digest(old, index)))
		worker->has_draft = false;
	if ((rc = keep_facts(file, worker, facts, err)))
		return rc;
	if (!old->segments) {
		file->same_inline = true;
		return tk_ingest_mark_facts(file->ingest, facts, err);
	}
	file->segments[index] = old->segments[index];
	return tk_ingest_keep_segment(file->ingest, &file->segments[index], facts, err);
}

/* Later ones of its kind need not be looked at in this run. */
static void
note_hole(struct tk_large_file *file, const struct tk_worker *worker, uint64_t len_bytes)
{
	const struct tk_extent_list *list = &worker->list;

	if (file->facts && file->segment_count > 1 && list->count == 1 && list->rows[0].ref.pack == TK_PACK_NONE &&
	    len_bytes == file->ingest->opts.segment_bytes)
		atomic_store(&file->ingest->hole_block_bytes, file->block_bytes);
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
store_segment(struct tk_large_file *file, struct tk_worker *worker, size_t index, uint64_t len_bytes, const struct tk_digest *whole, struct tk_err *err)
{
	enum tk_rc rc = tk_worker_end(worker, err);

	if (rc || (rc = keep_facts(file, worker, facts_digest(file, index, whole), err)))
		return rc;
	if (file->segment_count > 1 || tk_extents_encoded_bytes(worker->list.rows, worker->list.count) > INLINE_EXTENT_BYTES)
		return store_map(file, worker, index, len_bytes, err);
	file->inline_list = worker->list;
	worker->list = (struct tk_extent_list){0};
	return TK_OK;
}

/* A map of more pieces than this could outgrow its blob (8 MiB, and up to 12 bytes each), and would cost more than it spares. */
#define EXTENTS_MAX 400000u

static bool
has_too_many_pieces(const struct tk_ingest *ingest, const struct tk_worker *worker)
{
	return worker->list.count > (ingest->opts.extents_max ? ingest->opts.extents_max : EXTENTS_MAX);
}

/*
 * Without facts of the segment as it was, it is read twice if it changed: first to see whether it did. And so it is when its past has left it in too many pieces: then without
 * one. What the first passage handed over is lost, some literals.
 */
static enum tk_rc
ingest_segment(struct tk_large_file *file, struct tk_worker *worker, size_t index, struct tk_err *err)
{
	uint64_t len_bytes = tk_large_segment_len(file->ingest, file->size_bytes, index);
	struct tk_ingest_stats before = worker->stats;
	bool comparable = has_old(file, index, len_bytes), same = false, known = true, settled = false;
	enum tk_pass_kind kind = TK_PASS_STORE;
	enum tk_rc rc = tk_large_check(file, err);

	if (!rc)
		rc = tk_append_carry(file, worker, index, &settled, err);
	if (rc || settled)
		return rc;
	/* Another file's segment is hardly the same: that is not worth reading it twice. */
	if (!rc && comparable && !file->old.is_guess)
		rc = look_up_facts(file, worker, index, &known, err);
	if (!known)
		kind = TK_PASS_LOOK;
	while (!rc) {
		struct tk_digest whole;

		/* What is read a second time, from the page cache, counts once. */
		worker->stats = before;
		if ((rc = tk_pass_segment(file, worker, index, kind, &whole, err)))
			return rc;
		if (comparable && (rc = keep_if_same(file, worker, index, &whole, &same, err)))
			return tk_ingest_break(file->ingest, rc);
		if (!same && kind == TK_PASS_LOOK) {
			kind = TK_PASS_STORE;
		} else if (!same && kind == TK_PASS_STORE && has_too_many_pieces(file->ingest, worker)) {
			kind = TK_PASS_ANEW;
		} else {
			if (!same && (rc = store_segment(file, worker, index, len_bytes, &whole, err)))
				return tk_ingest_break(file->ingest, rc);
			note_hole(file, worker, len_bytes);
			return TK_OK;
		}
	}
	return rc;
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
		ingest->stats.rewritten_bytes += stats->rewritten_bytes;
		*stats = (struct tk_ingest_stats){0};
	}
	if (!atomic_load(&file->failed))
		return TK_OK;
	if (err)
		*err = file->failure;
	return file->failure.rc;
}

/* ---- the file ---- */

/* Within the bounds of facts and windows; and so that a segment has no more of them than its facts are worth. */
static uint32_t
within_bounds(const struct tk_ingest *ingest, size_t block_bytes)
{
	size_t least = ingest->opts.segment_bytes / SEGMENT_BLOCKS_MAX;

	if (least < TK_FACTS_BLOCK_MIN_BYTES)
		least = TK_FACTS_BLOCK_MIN_BYTES;
	if (block_bytes < least)
		return (uint32_t)least;
	return block_bytes < TK_WORKER_BLOCK_MAX_BYTES ? (uint32_t)block_bytes : TK_WORKER_BLOCK_MAX_BYTES;
}

/* What is remembered of the file. Its blocks stay as long as they were, unless the policy says how long. */
static enum tk_rc
choose_facts(struct tk_large_file *file, struct tk_delta_guess guess, struct tk_err *err)
{
	const struct tk_ingest_opts *opts = &file->ingest->opts;
	struct tk_worker *worker = &file->ingest->workers[0];
	uint32_t wanted = opts->block_bytes > 0 ? within_bounds(file->ingest, opts->block_bytes) : 0;
	enum tk_rc rc = TK_OK;

	file->facts = tk_ingest_keeps_facts(file->ingest, file->size_bytes);
	file->rolling = file->facts && opts->signature == TK_SIGNATURE_ROLLING;
	if (file->facts && file->old.entry) {
		tk_worker_open(worker, &file->old);
		rc = tk_past_open(worker, wanted, err);
		tk_worker_close(worker);
	}
	/* A guess of which nothing is known is no past. */
	if (file->old.is_guess && !file->old.has_facts)
		forget_old(file);
	if (wanted == 0)
		wanted = within_bounds(file->ingest, tk_delta_block_bytes(file->size_bytes, guess));
	file->block_bytes = file->old.has_facts ? file->old.block_bytes : wanted;
	return rc;
}

static enum tk_rc
prepare(struct tk_large_file *file, const char *name, const struct tk_ingest_past *past, struct tk_err *err)
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
	if ((rc = open_old(file, past, err)) || (rc = choose_facts(file, tk_delta_guess_file(first, got, name), err)))
		return tk_ingest_break(ingest, rc);
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
tk_ingest_large(struct tk_ingest *ingest, int fd, const char *name, uint64_t size_bytes, const struct tk_ingest_past *past,
		struct tk_content *out, struct tk_err *err)
{
	struct tk_large_file file = {.ingest = ingest, .fd = fd, .size_bytes = size_bytes, .old.fd = -1};
	enum tk_rc rc;

	(void)pthread_mutex_init(&file.lock, NULL);
	(void)pthread_mutex_init(&file.old.lock, NULL);
	rc = prepare(&file, name, past, err);
	if (!rc)
		rc = tk_append_begin(&file, past->grows, err);
	do
		rc = rc ? rc : run_workers(&file, err);
	while (!rc && tk_append_again(&file));
	out->not_grown = atomic_load(&file.refuted);
	if (!rc)
		rc = finish(&file, out, err);
	(void)pthread_mutex_destroy(&file.lock);
	(void)pthread_mutex_destroy(&file.old.lock);
	tk_blockindex_cleanup(&file.old.index);
	free(file.old.segments);
	free(file.segments);
	free(file.digests);
	free(file.carried);
	free(file.inline_list.rows);
	return rc;
}
