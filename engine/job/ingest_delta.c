/* A segment against the signatures of the old ones at its place and beside it. The whole segment is in memory meanwhile: one at a time. */
#include <stdlib.h>
#include <string.h>

#include "engine/delta/delta.h"
#include "engine/job/ingest_core.h"

/* A segment is searched for in its own place and in its neighbours'. */
#define OLD_NEIGHBOURS 3u
/* librsync's search through bytes that match nothing is slow: it skips ahead after this much. */
#define MISS_LIMIT_BYTES (1u << 20)

struct neighbours {
	struct tk_delta_old olds[OLD_NEIGHBOURS];
	struct tk_buf signatures[OLD_NEIGHBOURS];
	size_t count;
};

static void
neighbours_release(struct neighbours *near)
{
	for (size_t i = 0; i < OLD_NEIGHBOURS; i++)
		tk_buf_release(&near->signatures[i]);
}

/* The old segments that a new one is searched in, as far as they have signatures here: the one at its place first. */
static enum tk_rc
load_neighbours(struct tk_large_file *file, size_t index, struct neighbours *near, struct tk_err *err)
{
	const size_t order[OLD_NEIGHBOURS] = {index, index + 1, index - 1};
	struct tk_ingest *ingest = file->ingest;
	char name[TK_SIG_NAME_MAX];

	for (size_t i = 0; i < OLD_NEIGHBOURS; i++) {
		struct tk_buf *signature = &near->signatures[near->count];
		enum tk_rc rc;

		if (order[i] >= file->old.count)
			continue;
		tk_sig_name(tk_old_sig_digest(&file->old, order[i]), name);
		rc = tk_localstore_get(ingest->opts.local, TK_LOCAL_SIGNATURE, name, signature, err);
		if (rc == TK_ENOENT)
			continue;
		if (rc)
			return rc;
		near->olds[near->count++] = (struct tk_delta_old){
			(uint64_t)order[i] * ingest->opts.segment_bytes,
			tk_large_segment_len(ingest, file->old.entry->meta.size_bytes, order[i]), signature->data, signature->len_bytes};
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

static enum tk_rc
search(struct tk_large_file *file, const struct tk_worker *worker, size_t index, const struct tk_buf *signature, const struct neighbours *near,
       struct tk_delta_ops *ops, struct tk_err *err)
{
	struct window_source window = {worker->window, (uint64_t)index * file->ingest->opts.segment_bytes, worker->filled};
	struct tk_delta_request request = {
		.source = {read_window, &window},
		.off_bytes = window.start_bytes,
		.len_bytes = window.len_bytes,
		.signature = signature->data,
		.signature_len_bytes = signature->len_bytes,
		.olds = near->olds,
		.old_count = near->count,
		.miss_limit_bytes = MISS_LIMIT_BYTES,
	};
	enum tk_rc rc = tk_delta_search(&request, ops, err);

	if (rc != TK_ECORRUPT && rc != TK_EUNSUPPORTED)
		return rc;
	/* A signature that is of no use: all bytes are fresh. */
	tk_delta_ops_release(ops);
	return tk_delta_ops_literal(ops, window.len_bytes, err);
}

static enum tk_rc
apply(struct tk_worker *worker, const struct tk_delta_ops *ops, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < ops->count && !rc; i++) {
		const struct tk_delta_op *op = &ops->rows[i];

		if (op->len_bytes > worker->filled - worker->taken)
			return tk_err_set(err, TK_ECORRUPT, "a delta is longer than its segment");
		if (op->kind == TK_DELTA_COPY)
			rc = tk_worker_copy(worker, op->old_off_bytes, (size_t)op->len_bytes, err);
		else
			rc = tk_worker_fresh(worker, (size_t)op->len_bytes, err);
	}
	if (!rc && worker->taken != worker->filled)
		return tk_err_set(err, TK_ECORRUPT, "a delta is shorter than its segment");
	return rc;
}

static enum tk_rc
fill(struct tk_large_file *file, struct tk_worker *worker, uint64_t start, size_t len_bytes, struct tk_err *err)
{
	while (worker->filled < len_bytes) {
		size_t left = len_bytes - worker->filled, got = 0;
		enum tk_rc rc = tk_large_check(file, err);

		if (rc || (rc = tk_worker_read(worker, file->fd, start + worker->filled, left, &got, err)))
			return rc;
		if (got > 0)
			continue;
		/* It shrank while it was read: the rest is zeros for this attempt, which the caller sees was not consistent. */
		memset(worker->window + worker->filled, 0, left);
		worker->filled += left;
		rc = tk_content_hash_zeros(worker->hash, left, err);
		if (rc)
			return tk_ingest_break(file->ingest, rc);
	}
	return TK_OK;
}

static enum tk_rc
delta_in_memory(struct tk_large_file *file, struct tk_worker *worker, size_t index, size_t len_bytes, const struct neighbours *near,
		struct tk_buf *signature, struct tk_err *err)
{
	TK_AUTO(tk_delta_ops_release) struct tk_delta_ops ops = {0};
	enum tk_rc rc;

	tk_worker_begin(worker, true, file->sparse);
	if ((rc = fill(file, worker, (uint64_t)index * file->ingest->opts.segment_bytes, len_bytes, err)))
		return rc;
	if ((rc = tk_signature_build(worker->window, len_bytes, file->block_bytes, TK_SIGNATURE_STRONG_MIN_BYTES, signature, err)) ||
	    (rc = search(file, worker, index, signature, near, &ops, err)) || (rc = apply(worker, &ops, err)) ||
	    (rc = tk_worker_end(worker, err)))
		return tk_ingest_break(file->ingest, rc);
	return TK_OK;
}

/* The window of this worker is the whole segment for as long as `whole` is held. */
static enum tk_rc
with_whole_window(struct tk_large_file *file, struct tk_worker *worker, size_t index, size_t len_bytes, const struct neighbours *near,
		  struct tk_buf *signature, struct tk_err *err)
{
	struct tk_ingest *ingest = file->ingest;
	uint8_t *window = worker->window;
	size_t window_cap = worker->window_cap;
	enum tk_rc rc;

	if (!ingest->whole_window && !(ingest->whole_window = malloc(ingest->opts.segment_bytes)))
		return tk_ingest_break(ingest, tk_err_set(err, TK_ENOMEM, "no memory for a segment of a file"));
	worker->window = ingest->whole_window;
	worker->window_cap = ingest->opts.segment_bytes;
	rc = delta_in_memory(file, worker, index, len_bytes, near, signature, err);
	worker->window = window;
	worker->window_cap = window_cap;
	return rc;
}

enum tk_rc
tk_delta_segment(struct tk_large_file *file, struct tk_worker *worker, size_t index, size_t len_bytes, struct tk_buf *signature, bool *done,
		 struct tk_err *err)
{
	TK_AUTO(neighbours_release) struct neighbours near = {0};
	enum tk_rc rc = load_neighbours(file, index, &near, err);

	if (rc)
		return tk_ingest_break(file->ingest, rc);
	if (near.count == 0)
		return TK_OK;
	pthread_mutex_lock(&file->ingest->whole);
	rc = with_whole_window(file, worker, index, len_bytes, &near, signature, err);
	pthread_mutex_unlock(&file->ingest->whole);
	*done = !rc;
	return rc;
}
