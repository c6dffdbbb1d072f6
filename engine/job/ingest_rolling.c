/* What predictions left is searched by librsync, byte by byte, in the rolling signatures of the old segments around the predicted place. */
#include <string.h>

#include "engine/delta/delta.h"
#include "engine/job/ingest_core.h"

/* librsync's search through bytes that match nothing is slow: it skips ahead after this much. */
#define MISS_LIMIT_BYTES (1u << 20)

static enum tk_rc
load(struct tk_worker *worker, size_t index, struct tk_old_signature **out, struct tk_err *err)
{
	struct tk_old_signature *slot = &worker->old_signatures[index % TK_OLD_SIGNATURES];
	char name[TK_LOCAL_NAME_MAX];
	enum tk_rc rc;

	*out = slot;
	if (slot->known && slot->index == index)
		return TK_OK;
	tk_signature_cleanup(&slot->loaded);
	tk_buf_clear(&slot->bytes);
	slot->known = false;
	tk_facts_name(tk_old_facts_digest(worker->old, index), name);
	rc = tk_localstore_get(worker->ingest->opts.local, TK_LOCAL_SIGNATURE, name, &slot->bytes, err);
	if (rc && rc != TK_ENOENT)
		return rc;
	slot->index = index;
	slot->known = true;
	return TK_OK;
}

/* The old segments that are searched, as far as they have signatures here: the one at the predicted place first, then its neighbours. */
static enum tk_rc
load_neighbours(struct tk_worker *worker, size_t index, struct tk_delta_old olds[TK_OLD_SIGNATURES], size_t *count, struct tk_err *err)
{
	const size_t order[TK_OLD_SIGNATURES] = {index, index + 1, index - 1};
	const struct tk_ingest *ingest = worker->ingest;
	const struct tk_old_file *old = worker->old;

	*count = 0;
	for (size_t i = 0; i < TK_OLD_SIGNATURES; i++) {
		struct tk_old_signature *signature;
		enum tk_rc rc;

		if (order[i] >= old->count)
			continue;
		if ((rc = load(worker, order[i], &signature, err)))
			return rc;
		if (signature->bytes.len_bytes > 0)
			olds[(*count)++] = (struct tk_delta_old){
				(uint64_t)order[i] * ingest->opts.segment_bytes, tk_large_segment_len(ingest, old->entry->meta.size_bytes, order[i]),
				signature->bytes.data, signature->bytes.len_bytes, &signature->loaded};
	}
	return TK_OK;
}

/* Bytes in memory, at their place in the file. */
struct memory_source {
	const uint8_t *data;
	uint64_t start_bytes;
	size_t len_bytes;
};

static enum tk_rc
read_memory(void *ctx, uint64_t off_bytes, size_t len_bytes, uint8_t *dst, struct tk_err *err)
{
	const struct memory_source *memory = ctx;
	uint64_t at = off_bytes - memory->start_bytes;

	if (off_bytes < memory->start_bytes || at > memory->len_bytes || len_bytes > memory->len_bytes - at)
		return tk_err_set(err, TK_EINVAL, "a read outside of the window");
	memcpy(dst, memory->data + at, len_bytes);
	return TK_OK;
}

enum tk_rc
tk_rolling_search(struct tk_worker *worker, int64_t shift_bytes, size_t len_bytes, struct tk_delta_ops *ops, struct tk_err *err)
{
	struct memory_source memory = {worker->window + worker->taken, worker->window_bytes + worker->taken, len_bytes};
	int64_t old_bytes = (int64_t)memory.start_bytes - shift_bytes;
	struct tk_delta_old olds[TK_OLD_SIGNATURES];
	struct tk_delta_request request = {.source = {read_memory, &memory}, .off_bytes = memory.start_bytes, .len_bytes = len_bytes, .olds = olds,
					   .miss_limit_bytes = MISS_LIMIT_BYTES};
	size_t index = old_bytes < 0 ? 0 : (size_t)((uint64_t)old_bytes / worker->ingest->opts.segment_bytes);
	enum tk_rc rc;

	if ((rc = load_neighbours(worker, index, olds, &request.old_count, err)))
		return rc;
	rc = tk_delta_search(&request, ops, err);
	if (rc != TK_ECORRUPT && rc != TK_EUNSUPPORTED)
		return rc;
	/* A signature that is of no use: all bytes are fresh. */
	tk_delta_ops_release(ops);
	return tk_delta_ops_literal(ops, len_bytes, err);
}
