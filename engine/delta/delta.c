#include "engine/delta/delta.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/delta/delta_stream.h"
#include "engine/delta/rsync_job.h"
#include "engine/delta/signature.h"

#define READ_BYTES (256u * 1024)

/* One search against one old segment. */
struct pass {
	const struct tk_delta_request *request;
	const struct tk_delta_old *old;
	struct tk_signature_view view;
	struct tk_signature *own;     /* owned */
	struct tk_signature **loaded; /* own, or where the caller keeps it; made at the first gap that needs it */
	struct tk_buf piece;
	struct tk_delta_ops *out;    /* borrowed */
};

static void
pass_release(struct pass *pass)
{
	tk_signature_free(pass->own);
	tk_buf_release(&pass->piece);
}

struct gap_sink {
	struct tk_delta_stream stream;
	uint64_t miss_limit_bytes;
	bool stopped;
};

static enum tk_rc
gap_output(void *ctx, const uint8_t *data, size_t len_bytes, bool *stop, struct tk_err *err)
{
	struct gap_sink *sink = ctx;
	enum tk_rc rc = tk_delta_stream_feed(&sink->stream, data, len_bytes, err);

	if (!rc && sink->miss_limit_bytes && sink->stream.missed_bytes >= sink->miss_limit_bytes)
		sink->stopped = !sink->stream.end_seen;
	*stop = sink->stopped;
	return rc;
}

static enum tk_rc
feed_gap(struct pass *pass, struct tk_rsync_job *job, uint64_t off_bytes, uint64_t len_bytes, struct tk_err *err)
{
	const struct tk_delta_source *source = &pass->request->source;
	enum tk_rc rc = tk_buf_reserve(&pass->piece, READ_BYTES, err);
	size_t len;

	while (!rc && !job->ended && len_bytes) {
		len = len_bytes < READ_BYTES ? (size_t)len_bytes : READ_BYTES;
		rc = source->read(source->ctx, off_bytes, len, pass->piece.data, err);
		if (rc)
			break;
		off_bytes += len;
		len_bytes -= len;
		rc = tk_rsync_job_feed(job, pass->piece.data, len, len_bytes == 0, err);
	}
	return rc;
}

/* Searches until the gap's end, or until the miss limit; *made_bytes tells how far. */
static enum tk_rc
search_stretch(struct pass *pass, uint64_t off_bytes, uint64_t len_bytes, uint64_t *made_bytes, struct tk_err *err)
{
	struct gap_sink sink = {.miss_limit_bytes = pass->request->miss_limit_bytes};
	struct tk_rsync_job job;
	enum tk_rc rc;

	tk_delta_stream_init(&sink.stream, pass->out, pass->old->off_bytes, pass->old->len_bytes, len_bytes);
	rc = tk_rsync_job_init(&job, rs_delta_begin(tk_signature_raw(*pass->loaded)), gap_output, &sink, err);
	if (rc)
		return rc;
	rc = feed_gap(pass, &job, off_bytes, len_bytes, err);
	tk_rsync_job_release(&job);
	*made_bytes = sink.stream.made_bytes;
	if (!rc && !sink.stopped)
		rc = tk_delta_stream_end(&sink.stream, err);
	return rc;
}

static enum tk_rc
search_gap(struct pass *pass, uint64_t off_bytes, uint64_t len_bytes, struct tk_err *err)
{
	uint64_t skip_bytes = pass->request->miss_limit_bytes;
	uint64_t copied_before, made_bytes, jump_bytes;
	enum tk_rc rc = *pass->loaded ? TK_OK : tk_signature_load(&pass->view, pass->loaded, err);

	while (!rc && len_bytes) {
		copied_before = pass->out->copy_bytes;
		rc = search_stretch(pass, off_bytes, len_bytes, &made_bytes, err);
		if (rc)
			break;
		if (pass->out->copy_bytes != copied_before)
			skip_bytes = pass->request->miss_limit_bytes;
		len_bytes -= made_bytes;
		jump_bytes = skip_bytes < len_bytes ? skip_bytes : len_bytes;
		rc = tk_delta_ops_literal(pass->out, jump_bytes, err);
		off_bytes += made_bytes + jump_bytes;
		len_bytes -= jump_bytes;
		skip_bytes = skip_bytes < UINT64_MAX / 2 ? skip_bytes * 2 : skip_bytes;
	}
	return rc;
}

/* A shorter gap cannot hold a block of this segment. */
static size_t
shortest_block(const struct tk_signature_view *view)
{
	return tk_signature_block_len(view, view->block_count - 1);
}

static enum tk_rc
search_gaps(struct pass *pass, const struct tk_delta_ops *before, struct tk_err *err)
{
	uint64_t at = pass->request->off_bytes;
	const struct tk_delta_op *op;
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < before->count && !rc; i++) {
		op = &before->rows[i];
		if (op->kind == TK_DELTA_COPY)
			rc = tk_delta_ops_copy(pass->out, op->old_off_bytes, op->len_bytes, err);
		else if (op->len_bytes < shortest_block(&pass->view))
			rc = tk_delta_ops_literal(pass->out, op->len_bytes, err);
		else
			rc = search_gap(pass, at, op->len_bytes, err);
		at += op->len_bytes;
	}
	return rc;
}

/* Replaces *ops by the better list that pass->out holds. */
static void
pass_turn(struct tk_delta_ops *ops, struct tk_delta_ops *better)
{
	struct tk_delta_ops old = *ops;

	*ops = *better;
	tk_delta_ops_release(&old);
	tk_delta_ops_init(better);
}

static enum tk_rc
search_old(const struct tk_delta_request *request, const struct tk_delta_old *old, struct tk_delta_ops *ops,
	struct tk_err *err)
{
	TK_AUTO(pass_release) struct pass pass = {.request = request, .old = old};
	TK_AUTO(tk_delta_ops_release) struct tk_delta_ops better = {0};
	enum tk_rc rc;

	tk_buf_init(&pass.piece, READ_BYTES);
	pass.loaded = old->loaded ? old->loaded : &pass.own;
	pass.out = &better;
	rc = tk_signature_view_init(&pass.view, old->signature, old->signature_len_bytes, old->len_bytes, err);
	if (rc)
		return rc;
	rc = search_gaps(&pass, ops, err);
	if (!rc)
		pass_turn(ops, &better);
	return rc;
}

static enum tk_rc
append_all(struct tk_delta_ops *ops, const struct tk_delta_ops *more, struct tk_err *err)
{
	const struct tk_delta_op *op;
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < more->count && !rc; i++) {
		op = &more->rows[i];
		rc = op->kind == TK_DELTA_COPY ? tk_delta_ops_copy(ops, op->old_off_bytes, op->len_bytes, err)
			: tk_delta_ops_literal(ops, op->len_bytes, err);
	}
	return rc;
}

enum tk_rc
tk_delta_search(const struct tk_delta_request *request, struct tk_delta_ops *ops, struct tk_err *err)
{
	TK_AUTO(tk_delta_ops_release) struct tk_delta_ops found = {0};
	enum tk_rc rc = tk_delta_ops_literal(&found, request->len_bytes, err);

	for (size_t i = 0; i < request->old_count && found.literal_bytes && !rc; i++) {
		if (request->olds[i].len_bytes == 0)
			continue;
		rc = search_old(request, &request->olds[i], &found, err);
		if (rc)
			return tk_err_context(err, rc, "old segment at %llu", (unsigned long long)request->olds[i].off_bytes);
	}
	return rc ? rc : append_all(ops, &found, err);
}
