/* What is known of the version before of a large file without having its bytes: facts of its segments, and an index over them. */
#include "engine/job/ingest_core.h"

static uint64_t
old_size(const struct tk_old_file *old)
{
	return old->entry->meta.size_bytes;
}

/* Absent are also facts under a lost key, damaged ones, and those with other blocks or leaves than wanted. */
static enum tk_rc
load(struct tk_ingest *ingest, const struct tk_old_file *old, size_t index, uint32_t wanted_block_bytes, struct tk_buf *bytes, struct tk_facts *facts,
     bool *there, struct tk_err *err)
{
	uint64_t len_bytes = tk_large_segment_len(ingest, old_size(old), index);
	char name[TK_LOCAL_NAME_MAX];
	enum tk_rc rc;

	*there = false;
	tk_facts_name(tk_old_facts_digest(old, index), name);
	rc = tk_localstore_get(ingest->opts.local, TK_LOCAL_FACTS, name, bytes, err);
	if (!rc)
		rc = tk_facts_view(facts, bytes->data, bytes->len_bytes, ingest->facts_check, len_bytes, err);
	if (rc)
		return rc == TK_ENOENT || rc == TK_EUNSUPPORTED || rc == TK_ECORRUPT ? TK_OK : rc;
	*there = facts->leaf_bytes == tk_ingest_leaf_bytes(ingest) && (wanted_block_bytes == 0 || facts->block_bytes == wanted_block_bytes);
	return TK_OK;
}

enum tk_rc
tk_past_facts(struct tk_worker *worker, size_t index, const struct tk_facts **out, struct tk_err *err)
{
	const struct tk_old_file *old = worker->old;
	struct tk_old_facts *slot;
	enum tk_rc rc;

	*out = NULL;
	if (index >= old->count)
		return TK_OK;
	for (unsigned i = 0; i < TK_OLD_FACTS; i++) {
		slot = &worker->old_facts[i];
		if (slot->known && slot->index == index) {
			*out = slot->there ? &slot->facts : NULL;
			return TK_OK;
		}
	}
	slot = &worker->old_facts[worker->next_facts++ % TK_OLD_FACTS];
	slot->known = false;
	slot->index = index;
	if ((rc = load(worker->ingest, old, index, old->block_bytes, &slot->bytes, &slot->facts, &slot->there, err)))
		return rc;
	slot->known = true;
	*out = slot->there ? &slot->facts : NULL;
	return TK_OK;
}

enum tk_rc
tk_past_open(struct tk_worker *worker, uint32_t wanted_block_bytes, struct tk_err *err)
{
	struct tk_old_file *old = worker->old;

	old->block_bytes = wanted_block_bytes;
	for (size_t i = 0; i < old->count; i++) {
		const struct tk_facts *facts;
		enum tk_rc rc = tk_past_facts(worker, i, &facts, err);

		if (rc)
			return rc;
		if (facts) {
			old->has_facts = true;
			old->block_bytes = facts->block_bytes;
			return TK_OK;
		}
	}
	return TK_OK;
}

/* A wrong guess costs the search through a quarter of a segment; one that is right in places is worth searching on. */
#define GUESS_SEGMENT_SHARE 4u
#define GUESS_FOUND_SHARE 64u

bool
tk_past_is_hopeless(const struct tk_worker *worker)
{
	struct tk_old_file *old = worker->old;
	unsigned long long compared = atomic_load(&old->compared_bytes);

	return old->is_guess && compared >= worker->ingest->opts.segment_bytes / GUESS_SEGMENT_SHARE &&
	       atomic_load(&old->found_bytes) < compared / GUESS_FOUND_SHARE;
}

void
tk_past_count(struct tk_worker *worker, uint64_t compared_bytes, uint64_t found_bytes)
{
	atomic_fetch_add(&worker->old->compared_bytes, compared_bytes);
	atomic_fetch_add(&worker->old->found_bytes, found_bytes);
}

static enum tk_rc
view_facts(void *ctx, size_t segment, const struct tk_facts **out, struct tk_err *err)
{
	return tk_past_facts(ctx, segment, out, err);
}

/* Not through the worker's facts: one of them is borrowed meanwhile. */
static enum tk_rc
make_index(struct tk_worker *worker, const struct tk_predict_past *past, struct tk_err *err)
{
	TK_AUTO(tk_blockindex_cleanup) struct tk_blockindex *index = NULL;
	TK_AUTO(tk_buf_release) struct tk_buf bytes = {0};
	struct tk_old_file *old = worker->old;
	struct tk_facts facts;
	enum tk_rc rc;

	if ((rc = tk_blockindex_new(tk_predict_block_number(past, old->count), 0, &index, err)))
		return rc;
	for (size_t i = 0; i < old->count; i++) {
		bool there;

		if ((rc = load(worker->ingest, old, i, old->block_bytes, &bytes, &facts, &there, err)))
			return rc;
		if (there)
			tk_blockindex_add(index, tk_predict_block_number(past, i), &facts);
	}
	old->index = index;
	index = NULL;
	return TK_OK;
}

static enum tk_rc
view_index(void *ctx, const struct tk_blockindex **out, struct tk_err *err)
{
	struct tk_worker *worker = ctx;
	struct tk_old_file *old = worker->old;
	struct tk_predict_past past = tk_past_view(worker);
	enum tk_rc rc = TK_OK;

	pthread_mutex_lock(&old->lock);
	if (!old->index_made)
		rc = make_index(worker, &past, err);
	old->index_made = !rc;
	*out = old->index;
	pthread_mutex_unlock(&old->lock);
	return rc;
}

struct tk_predict_past
tk_past_view(struct tk_worker *worker)
{
	const struct tk_old_file *old = worker->old;

	return (struct tk_predict_past){.len_bytes = old_size(old), .segment_bytes = worker->ingest->opts.segment_bytes, .block_bytes = old->block_bytes,
					.facts = view_facts, .index = view_index, .ctx = worker};
}
