/* One passage over a segment: what is read goes through the window once, and is tagged, compared with the version before, hashed and taken while it is in the cache. */
#include <string.h>

#include "engine/fsio/holes.h"
#include "engine/job/ingest_core.h"

/* A shorter gap is a change in place, which holds nothing old. */
#define ROLLING_MIN_BLOCKS 4u

struct pass {
	struct tk_large_file *file;
	struct tk_worker *worker;
	size_t index;
	uint64_t start_bytes, end_bytes;      /* the segment's place in the file */
	bool store;
	bool predicted;                       /* from facts of the version before */

	uint64_t read_to_bytes;               /* how far is read: predictions look a little beyond the segment */
	struct tk_holes holes;
	struct tk_run run;                    /* what is to be read next */

	struct tk_predict_past past;
	uint64_t copied_from_bytes;           /* from here on, up to what is taken, all is copied from the old file... */
	int64_t copied_shift;                 /* ...where it was this much before */
	bool has_copied;                      /* the last that was taken as a copy... */
	uint64_t copied_to_bytes;             /* ...ended here in the old file */
	struct tk_sigbuilder *signature;      /* owned; NULL: none is made */
};

static void
pass_release(struct pass *pass)
{
	tk_content_hash_tell_leaves(pass->worker->hash, NULL, NULL);
	tk_sigbuilder_cleanup(&pass->signature);
}

static uint64_t
place(const struct pass *pass, size_t in_window)
{
	return pass->worker->window_bytes + in_window;
}

/* ---- reading ---- */

/* Holes are asked for, not read: what is written into one meanwhile is a change like any other. */
static bool
next_run(struct pass *pass)
{
	if (pass->run.len_bytes > 0)
		return true;
	if (pass->file->sparse)
		return tk_holes_next(&pass->holes, &pass->run);
	pass->run = (struct tk_run){pass->holes.pos_bytes, pass->holes.size_bytes - pass->holes.pos_bytes, false};
	pass->holes.pos_bytes = pass->holes.size_bytes;
	return pass->run.len_bytes > 0;
}

static void
begin_reading(struct pass *pass, uint64_t from_bytes)
{
	pass->holes = (struct tk_holes){.fd = pass->file->fd, .size_bytes = pass->read_to_bytes, .pos_bytes = from_bytes};
	pass->run = (struct tk_run){0};
}

/* The part of what was read that is the segment's own. */
static void
count_read(struct pass *pass, size_t len_bytes)
{
	uint64_t to = place(pass, pass->worker->filled), from = to - len_bytes;

	from = from < pass->start_bytes ? pass->start_bytes : from;
	to = to > pass->end_bytes ? pass->end_bytes : to;
	if (to > from)
		pass->worker->stats.read_bytes += to - from;
}

/* Reads a piece of the current run. */
static enum tk_rc
read_piece(struct pass *pass, size_t *len_bytes, struct tk_err *err)
{
	struct tk_run *run = &pass->run;
	size_t want = run->len_bytes < TK_WORKER_PIECE_BYTES ? (size_t)run->len_bytes : TK_WORKER_PIECE_BYTES;
	enum tk_rc rc;

	*len_bytes = 0;
	if (!run->is_hole) {
		if ((rc = tk_worker_read(pass->worker, pass->file->fd, want, len_bytes, err)))
			return rc;
		count_read(pass, *len_bytes);
	}
	if (*len_bytes == 0) {
		/* A hole; or the file shrank while it was read: the rest is zeros for this attempt, which the caller sees was not consistent. */
		run->is_hole = true;
		*len_bytes = want;
		if ((rc = tk_worker_zeros(pass->worker, want, err)))
			return rc;
	}
	run->offset_bytes += *len_bytes;
	run->len_bytes -= *len_bytes;
	return TK_OK;
}

/* ---- hashing ---- */

/* The digest of a leaf that was copied as a whole from a leaf of the old file; NULL: it must be hashed. */
static enum tk_rc
known_leaf(struct pass *pass, uint64_t at_bytes, size_t len_bytes, const uint8_t **digest, struct tk_err *err)
{
	uint32_t segment_bytes = pass->file->ingest->opts.segment_bytes;
	uint64_t old_bytes = at_bytes - (uint64_t)pass->copied_shift;
	const struct tk_facts *facts;
	enum tk_rc rc;

	*digest = NULL;
	if (!pass->predicted || at_bytes < pass->copied_from_bytes)
		return TK_OK;
	if ((rc = tk_past_facts(pass->worker, (size_t)(old_bytes / segment_bytes), &facts, err)))
		return tk_ingest_break(pass->file->ingest, rc);
	if (facts)
		*digest = tk_facts_leaf(facts, old_bytes % segment_bytes, len_bytes);
	return TK_OK;
}

static enum tk_rc
hash_leaf(struct pass *pass, uint64_t at_bytes, size_t len_bytes, struct tk_err *err)
{
	struct tk_worker *worker = pass->worker;
	struct tk_digest leaf;
	const uint8_t *known;
	enum tk_rc rc;

	if (pass->signature && (rc = tk_sigbuilder_feed(pass->signature, worker->window + worker->hashed, len_bytes, err)))
		return tk_ingest_break(worker->ingest, rc);
	if ((rc = known_leaf(pass, at_bytes, len_bytes, &known, err)))
		return rc;
	if (!known)
		return tk_worker_hash(worker, len_bytes, err);
	memcpy(leaf.b, known, sizeof(leaf.b));
	return tk_worker_hash_known(worker, &leaf, len_bytes, err);
}

/* The leaves that are taken as a whole. */
static enum tk_rc
hash_taken(struct pass *pass, struct tk_err *err)
{
	uint64_t taken = place(pass, pass->worker->taken), at = place(pass, pass->worker->hashed);
	enum tk_rc rc = TK_OK;

	while (!rc && at < taken) {
		uint64_t left = pass->end_bytes - at;
		size_t len = tk_ingest_leaf_bytes(pass->file->ingest);

		len = left < len ? (size_t)left : len;
		if (at + len > taken)
			break;
		rc = hash_leaf(pass, at, len, err);
		at += len;
	}
	return rc;
}

/* ---- taking ---- */

static enum tk_rc
take_fresh(struct pass *pass, size_t len_bytes, bool is_hole, struct tk_err *err)
{
	struct tk_worker *worker = pass->worker;

	pass->copied_from_bytes = place(pass, worker->taken) + len_bytes;
	if (!pass->store) {
		tk_worker_skip(worker, len_bytes);
		return TK_OK;
	}
	return is_hole ? tk_worker_hole(worker, len_bytes, err) : tk_worker_fresh(worker, len_bytes, err);
}

static enum tk_rc
take_copy(struct pass *pass, uint64_t old_bytes, size_t len_bytes, struct tk_err *err)
{
	uint64_t at = place(pass, pass->worker->taken);
	int64_t shift = (int64_t)(at - old_bytes);

	if (shift != pass->copied_shift)
		pass->copied_from_bytes = at;
	pass->copied_shift = shift;
	pass->has_copied = true;
	pass->copied_to_bytes = old_bytes + len_bytes;
	return tk_worker_copy(pass->worker, old_bytes, len_bytes, err);
}

/* Leaves end in the middle of operations: what is known of them is used before the next one. */
static enum tk_rc
take_op(struct pass *pass, const struct tk_delta_op *op, struct tk_err *err)
{
	enum tk_rc rc;

	if (op->kind == TK_DELTA_COPY)
		rc = take_copy(pass, op->old_off_bytes, (size_t)op->len_bytes, err);
	else
		rc = take_fresh(pass, (size_t)op->len_bytes, false, err);
	return rc ? rc : hash_taken(pass, err);
}

static enum tk_rc
take_ops(struct pass *pass, const struct tk_delta_ops *ops, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < ops->count && !rc; i++)
		rc = take_op(pass, &ops->rows[i], err);
	return rc;
}

/* A gap in the predictions, and what follows it (NULL: not known yet). The old bytes themselves may tell more, or rolling signatures. */
static enum tk_rc
take_gap(struct pass *pass, const struct tk_delta_op *gap, const struct tk_delta_op *next, struct tk_err *err)
{
	TK_AUTO(tk_delta_ops_release) struct tk_delta_ops found = {0};
	struct tk_worker *worker = pass->worker;
	struct tk_gap around = {gap->len_bytes, pass->has_copied, next != NULL, pass->copied_to_bytes, next ? next->old_off_bytes : 0};
	enum tk_rc rc;

	if (pass->file->old.fd >= 0)
		rc = tk_refine_gap(worker, &around, &found, err);
	else if (pass->file->rolling && gap->len_bytes >= (uint64_t)ROLLING_MIN_BLOCKS * pass->file->block_bytes)
		rc = tk_rolling_search(worker, worker->predict.shifts[0], (size_t)gap->len_bytes, &found, err);
	else
		return take_op(pass, gap, err);
	return rc ? tk_ingest_break(worker->ingest, rc) : take_ops(pass, &found, err);
}

static enum tk_rc
predict(struct pass *pass, struct tk_err *err)
{
	struct tk_worker *worker = pass->worker;
	bool at_end = place(pass, worker->filled) == pass->read_to_bytes;
	uint64_t from_bytes = worker->predict.at_bytes;
	enum tk_rc rc;

	if (tk_past_is_hopeless(worker))
		tk_predict_give_up(&worker->predict);
	worker->ops.count = 0;
	worker->ops.copy_bytes = 0;
	rc = tk_predict_run(&worker->predict, worker->window, worker->window_bytes, worker->filled, at_end, &worker->ops, err);
	if (rc)
		return tk_ingest_break(worker->ingest, rc);
	tk_past_count(worker, worker->predict.at_bytes - from_bytes, worker->ops.copy_bytes);
	for (size_t i = 0; i < worker->ops.count && !rc; i++) {
		const struct tk_delta_op *op = &worker->ops.rows[i];

		/* Behind a literal there is a copy, or nothing yet. */
		if (op->kind == TK_DELTA_COPY)
			rc = take_op(pass, op, err);
		else
			rc = take_gap(pass, op, i + 1 < worker->ops.count ? op + 1 : NULL, err);
	}
	return rc;
}

/* What was taken is tagged before it leaves the window. */
static enum tk_rc
draw_facts(struct pass *pass, struct tk_err *err)
{
	struct tk_worker *worker = pass->worker;
	struct tk_facts_draft *draft = &worker->draft;
	uint64_t lead = worker->window_bytes < pass->start_bytes ? pass->start_bytes - worker->window_bytes : 0;
	uint64_t from = worker->window_bytes + lead - pass->start_bytes, to = place(pass, worker->taken) - pass->start_bytes;
	enum tk_rc rc;

	if (!pass->file->facts)
		return TK_OK;
	if ((rc = tk_facts_draft_fill(draft, worker->tagger, worker->window + (size_t)lead, from, to, err)))
		return tk_ingest_break(worker->ingest, rc);
	worker->keep_bytes = pass->predicted ? tk_predict_keep_from(&worker->predict) :
					       pass->start_bytes + (uint64_t)draft->next_block * draft->facts.block_bytes;
	return TK_OK;
}

static enum tk_rc
go_through(struct pass *pass, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	while (!rc && next_run(pass)) {
		size_t len;

		if ((rc = tk_large_check(pass->file, err)) || (rc = read_piece(pass, &len, err)))
			return rc;
		rc = pass->predicted ? predict(pass, err) : take_fresh(pass, len, pass->run.is_hole, err);
		if (!rc && !pass->predicted)
			rc = hash_taken(pass, err);
		if (!rc)
			rc = draw_facts(pass, err);
	}
	return rc;
}

/* ---- the segment ---- */

static enum tk_rc
on_leaf(void *ctx, const struct tk_digest *leaf, struct tk_err *err)
{
	return tk_facts_draft_leaf(ctx, leaf->b, err);
}

static enum tk_rc
begin_facts(struct pass *pass, struct tk_err *err)
{
	const struct tk_large_file *file = pass->file;
	struct tk_worker *worker = pass->worker;
	enum tk_rc rc;

	if (!file->facts)
		return TK_OK;
	if ((rc = tk_facts_draft_begin(&worker->draft, file->ingest->facts_check, pass->end_bytes - pass->start_bytes, file->block_bytes,
				       tk_ingest_leaf_bytes(file->ingest), err)))
		return tk_ingest_break(file->ingest, rc);
	tk_content_hash_tell_leaves(worker->hash, on_leaf, &worker->draft);
	if (!file->rolling)
		return TK_OK;
	rc = tk_sigbuilder_new(file->block_bytes, TK_SIGNATURE_STRONG_MIN_BYTES, &pass->signature, err);
	return rc ? tk_ingest_break(file->ingest, rc) : TK_OK;
}

static size_t
begin_prediction(struct pass *pass)
{
	struct tk_large_file *file = pass->file;
	struct tk_predict *predict = &pass->worker->predict;
	uint64_t slack;

	if (!pass->predicted)
		return 0;
	pass->past = tk_past_view(pass->worker);
	tk_predict_begin(predict, &pass->past, pass->worker->tagger, &pass->worker->draft, pass->start_bytes, pass->end_bytes,
			 atomic_load(&file->shift_bytes));
	slack = tk_predict_slack_bytes(predict);
	pass->read_to_bytes = file->size_bytes - pass->end_bytes < slack ? file->size_bytes : pass->end_bytes + slack;
	return (size_t)(slack < pass->start_bytes ? slack : pass->start_bytes);
}

/* A segment that is a hole throughout need not even be looked at, once the facts of such a one are kept. */
static bool
is_settled_hole(const struct pass *pass)
{
	const struct tk_large_file *file = pass->file;
	struct tk_holes holes = {.fd = file->fd, .size_bytes = pass->end_bytes, .pos_bytes = pass->start_bytes};
	struct tk_run run;

	if (!file->sparse || file->segment_count == 1 || pass->end_bytes - pass->start_bytes != file->ingest->opts.segment_bytes)
		return false;
	if (file->facts && atomic_load(&file->ingest->hole_block_bytes) != file->block_bytes)
		return false;
	return tk_holes_next(&holes, &run) && run.is_hole && run.len_bytes == file->ingest->opts.segment_bytes;
}

static enum tk_rc
finish(struct pass *pass, struct tk_digest *whole, struct tk_err *err)
{
	struct tk_large_file *file = pass->file;
	struct tk_worker *worker = pass->worker;
	bool complete = place(pass, worker->hashed) == pass->end_bytes && place(pass, worker->taken) == pass->end_bytes;
	enum tk_rc rc = tk_worker_digest(worker, &file->digests[pass->index], whole, err);

	if (rc)
		return rc;
	if (!complete || (file->facts && !tk_facts_draft_complete(&worker->draft)))
		return tk_ingest_break(file->ingest, tk_err_set(err, TK_EINVAL, "segment %zu was not taken as a whole", pass->index));
	worker->has_draft = file->facts;
	if (pass->signature && (rc = tk_sigbuilder_finish(pass->signature, &worker->signature, err)))
		return tk_ingest_break(file->ingest, rc);
	if (pass->predicted)
		atomic_store(&file->shift_bytes, worker->predict.shifts[0]);
	return TK_OK;
}

enum tk_rc
tk_pass_segment(struct tk_large_file *file, struct tk_worker *worker, size_t index, enum tk_pass_kind kind, struct tk_digest *whole,
		struct tk_err *err)
{
	uint64_t start = (uint64_t)index * file->ingest->opts.segment_bytes;
	uint64_t end = start + tk_large_segment_len(file->ingest, file->size_bytes, index);
	TK_AUTO(pass_release) struct pass pass = {
		.file = file, .worker = worker, .index = index, .start_bytes = start, .end_bytes = end, .read_to_bytes = end, .copied_from_bytes = start,
		.store = kind != TK_PASS_LOOK, .predicted = kind == TK_PASS_STORE && file->facts && file->old.has_facts && !tk_past_is_hopeless(worker),
	};
	size_t lead;
	enum tk_rc rc;

	worker->has_draft = false;
	tk_buf_clear(&worker->signature);
	if (is_settled_hole(&pass)) {
		tk_worker_begin(worker, start, 0, false, true);
		rc = tk_worker_all_hole(worker, end - start, err);
		return rc ? rc : tk_worker_digest(worker, &file->digests[index], whole, err);
	}
	lead = begin_prediction(&pass);
	tk_worker_begin(worker, start, lead, pass.predicted, file->sparse);
	begin_reading(&pass, start - lead);
	if ((rc = begin_facts(&pass, err)) || (rc = go_through(&pass, err)))
		return rc;
	return finish(&pass, whole, err);
}
