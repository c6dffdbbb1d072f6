/* What predictions left is compared byte by byte with the old bytes, where they lie on disk still. */
#include <string.h>

#include "engine/fsio/openat.h"
#include "engine/job/ingest_core.h"

/* Longer gaps are hardly old bytes with changes in them: nothing around says where in the old file to look. */
#define GAP_MAX_BYTES (256u << 10)
/* By how much more than the gap the old bytes may be: what was taken out. */
#define SLACK_BYTES (64u << 10)

/* Is each block what the facts say? Then the bytes are those of the version before, whoever wrote to the file since, and a copy of them is one of its extents. */
static enum tk_rc
prove(struct tk_worker *worker, const struct tk_predict_past *past, uint64_t from_bytes, const uint8_t *data, size_t len_bytes, bool *proved, struct tk_err *err)
{
	uint64_t end_bytes = from_bytes + len_bytes;

	*proved = false;
	for (uint64_t at = from_bytes; at < end_bytes;) {
		struct tk_predict_block block = tk_predict_block_at(past, at);
		uint8_t tag[TK_TAG_BYTES];
		const struct tk_facts *facts;
		enum tk_rc rc = tk_past_facts(worker, (size_t)(at / past->segment_bytes), &facts, err);

		if (rc || !facts)
			return rc;
		if ((rc = tk_tag(worker->tagger, data + (size_t)(at - from_bytes), block.len_bytes, tag, err)))
			return rc;
		if (memcmp(tag, tk_facts_tag(facts, block.index), TK_TAG_BYTES) != 0)
			return TK_OK;
		at += block.len_bytes;
	}
	*proved = true;
	return TK_OK;
}

/* The whole blocks around [from, to) of the old file: *first is where they begin. What cannot be read is as good as changed. */
static enum tk_rc
read_old(struct tk_worker *worker, uint64_t from_bytes, uint64_t to_bytes, uint64_t *first_bytes, bool *there, struct tk_err *err)
{
	struct tk_predict_past past = tk_past_view(worker);
	struct tk_predict_block first = tk_predict_block_at(&past, from_bytes), last = tk_predict_block_at(&past, to_bytes - 1);
	size_t len = (size_t)(last.old_bytes + last.len_bytes - first.old_bytes), got;
	struct tk_buf *bytes = &worker->old_bytes;
	enum tk_rc rc;

	*there = false;
	*first_bytes = first.old_bytes;
	tk_buf_clear(bytes);
	if ((rc = tk_buf_reserve(bytes, len, err)))
		return rc;
	if (tk_pread_full(worker->old->fd, bytes->data, len, first.old_bytes, &got, "an old file", NULL) || got != len)
		return TK_OK;
	return prove(worker, &past, first.old_bytes, bytes->data, len, there, err);
}

/* Which old bytes may be in the gap: those between the copies around it, if these lie in order; else what follows the one before it. */
static void
choose_range(const struct tk_gap *gap, uint64_t old_size_bytes, uint64_t *from_bytes, uint64_t *to_bytes, bool *ends)
{
	uint64_t most = gap->len_bytes + SLACK_BYTES;

	*from_bytes = gap->old_from_bytes < old_size_bytes ? gap->old_from_bytes : old_size_bytes;
	*to_bytes = gap->old_to_bytes < old_size_bytes ? gap->old_to_bytes : old_size_bytes;
	*ends = gap->has_to && *to_bytes >= *from_bytes && *to_bytes - *from_bytes <= most;
	if (*ends)
		return;
	*to_bytes = old_size_bytes - *from_bytes < most ? old_size_bytes : *from_bytes + most;
}

enum tk_rc
tk_refine_gap(struct tk_worker *worker, const struct tk_gap *gap, struct tk_delta_ops *ops, struct tk_err *err)
{
	uint64_t from, to, first = 0;
	struct tk_refine_gap request = {.fresh = worker->window + worker->taken, .fresh_bytes = (size_t)gap->len_bytes, .begins = true};
	bool there = false;
	enum tk_rc rc;

	if (worker->old->fd < 0 || !gap->has_from || gap->len_bytes > GAP_MAX_BYTES)
		return tk_delta_ops_literal(ops, gap->len_bytes, err);
	choose_range(gap, worker->old->entry->meta.size_bytes, &from, &to, &request.ends);
	if (from < to && (rc = read_old(worker, from, to, &first, &there, err)))
		return rc;
	if (!there)
		return tk_delta_ops_literal(ops, gap->len_bytes, err);
	request.old = worker->old_bytes.data + (size_t)(from - first);
	request.old_bytes = (size_t)(to - from);
	request.old_off_bytes = from;
	return tk_refine_run(&worker->refine, &request, ops, err);
}
