/* Files of which the policy says that they only grow: the segments that were full before stand unread, but for a leaf of each, drawn anew in every run. A leaf that is not what it was
 * shows that the policy is wrong about this file: then what was carried over is read after all. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/fsio/openat.h"
#include "engine/job/ingest_core.h"

enum tk_rc
tk_append_begin(struct tk_large_file *file, bool grows, struct tk_err *err)
{
	if (!grows || !file->facts || !file->old.segments || !file->old.has_facts || file->old.is_guess ||
	    file->size_bytes < file->old.entry->meta.size_bytes)
		return TK_OK;
	file->carried = calloc(file->segment_count, sizeof(*file->carried));
	return file->carried ? TK_OK : tk_ingest_break(file->ingest, tk_err_set(err, TK_ENOMEM, "no memory for %zu segments", file->segment_count));
}

static enum tk_rc
take_leaf(void *ctx, const struct tk_digest *leaf, struct tk_err *err)
{
	(void)err;
	*(struct tk_digest *)ctx = *leaf;
	return TK_OK;
}

static enum tk_rc
digest_leaf(struct tk_worker *worker, const uint8_t *data, size_t len_bytes, struct tk_digest *leaf, struct tk_err *err)
{
	struct tk_digest whole;
	enum tk_rc rc;

	tk_content_hash_begin(worker->hash);
	tk_content_hash_tell_leaves(worker->hash, take_leaf, leaf);
	rc = tk_content_hash_feed(worker->hash, data, len_bytes, err);
	if (!rc)
		rc = tk_content_hash_finish(worker->hash, &whole, err);
	tk_content_hash_tell_leaves(worker->hash, NULL, NULL);
	return rc;
}

/* *same: a leaf drawn from the segment is what it was. A segment of which nothing is known is not. */
static enum tk_rc
look_at_leaf(struct tk_large_file *file, struct tk_worker *worker, size_t index, bool *same, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf leaf = {0};
	uint64_t start = (uint64_t)index * file->ingest->opts.segment_bytes, at;
	size_t leaf_bytes = tk_ingest_leaf_bytes(file->ingest), got = 0;
	const struct tk_facts *facts;
	const uint8_t *was;
	struct tk_digest now;
	uint32_t drawn;
	enum tk_rc rc;

	*same = false;
	if ((rc = tk_past_facts(worker, index, &facts, err)) || !facts)
		return rc ? tk_ingest_break(file->ingest, rc) : TK_OK;
	if ((rc = tk_random_bytes((uint8_t *)&drawn, sizeof(drawn), err)) || (rc = tk_buf_reserve(&leaf, leaf_bytes, err)))
		return tk_ingest_break(file->ingest, rc);
	at = drawn % facts->leaf_count * (uint64_t)leaf_bytes;
	leaf_bytes = facts->len_bytes - at < leaf_bytes ? (size_t)(facts->len_bytes - at) : leaf_bytes;
	was = tk_facts_leaf(facts, at, leaf_bytes);
	if ((rc = tk_pread_full(file->fd, leaf.data, leaf_bytes, start + at, &got, "file", err)))
		return rc;
	worker->stats.read_bytes += got;
	if (!was || got != leaf_bytes)
		return TK_OK;
	if ((rc = digest_leaf(worker, leaf.data, leaf_bytes, &now, err)))
		return tk_ingest_break(file->ingest, rc);
	*same = memcmp(was, now.b, sizeof(now.b)) == 0;
	return TK_OK;
}

enum tk_rc
tk_append_carry(struct tk_large_file *file, struct tk_worker *worker, size_t index, bool *settled, struct tk_err *err)
{
	const struct tk_old_file *old = &file->old;
	bool same;
	enum tk_rc rc;

	*settled = false;
	if (!file->carried)
		return TK_OK;
	/* Read after all is what was carried over, and nothing else. */
	if (atomic_load(&file->refuted)) {
		*settled = file->again && !file->carried[index];
		return TK_OK;
	}
	if (index >= old->count || old->segments[index].length_bytes != file->ingest->opts.segment_bytes)
		return TK_OK;
	if ((rc = look_at_leaf(file, worker, index, &same, err)))
		return rc;
	if (!same) {
		atomic_store(&file->refuted, true);
		return TK_OK;
	}
	file->segments[index] = old->segments[index];
	file->digests[index] = old->segments[index].digest;
	if ((rc = tk_ingest_keep_segment(file->ingest, &file->segments[index], &file->digests[index], err)))
		return tk_ingest_break(file->ingest, rc);
	file->carried[index] = *settled = true;
	return TK_OK;
}

bool
tk_append_again(struct tk_large_file *file)
{
	if (!file->carried || !atomic_load(&file->refuted) || file->again)
		return false;
	file->again = true;
	atomic_store(&file->next, 0);
	return true;
}
