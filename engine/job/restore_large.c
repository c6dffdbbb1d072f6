#include <stdlib.h>
#include <string.h>

#include "engine/job/restore_core.h"
#include "engine/vault/segmap.h"

#define MAPS_AHEAD 4u

/* A file of segments that is being restored, or only compared with what is there; the workers take one segment after another. */
struct large {
	struct tk_shared shared;              /* first */
	struct tk_restore *restore;
	const struct tk_target_file *file;    /* NULL: only compare */
	int basis;
	struct tk_segment *segments;
	struct tk_digest *digests;            /* of what is in place */
	pthread_mutex_t turn;                 /* to write the file */
	pthread_mutex_t lock;                 /* over what follows */
	uint64_t reused_bytes;
	bool differs;
	bool failed;
	struct tk_err failure;
};

static void
large_failed(struct large *large, const struct tk_err *err)
{
	pthread_mutex_lock(&large->lock);
	if (!large->failed)
		large->failure = *err;
	large->failed = true;
	pthread_mutex_unlock(&large->lock);
	tk_restore_work_stop(large->restore->work, &large->shared);
}

/* The digest of the one segment that was fed to the worker's hash. */
static enum tk_rc
segment_digest(struct tk_restore_worker *worker, struct tk_digest *out, struct tk_err *err)
{
	const struct tk_digest *segments;
	struct tk_digest whole;
	size_t count = 0;
	enum tk_rc rc = tk_content_hash_finish(worker->hash, &whole, err);

	if (rc)
		return rc;
	segments = tk_content_hash_segments(worker->hash, &count);
	if (count != 1)
		return tk_restore_wrong_content(err);
	*out = segments[0];
	return TK_OK;
}

/* The maps of those that come next are asked for while this one's data comes. */
static void
want_maps(const struct large *large, size_t part)
{
	for (size_t i = part + 1; i < large->shared.count && i <= part + MAPS_AHEAD; i++)
		tk_restore_ahead_want(large->restore->ahead, large->segments[i].base, TK_BLOB_BASE_MAP);
}

static enum tk_rc
fetch_segment(struct tk_restore_worker *worker, struct large *large, size_t part, struct tk_err *err)
{
	struct tk_blob_source source = tk_fetch_source(large->restore->opts->fetch);
	const struct tk_segment *segment = &large->segments[part];
	struct tk_extent *extents = NULL;
	size_t count = 0;
	enum tk_rc rc;

	want_maps(large, part);
	rc = tk_segment_extents(&source, large->restore->opts->packs, segment, &extents, &count, err);

	tk_content_hash_begin(worker->hash);
	if (!rc)
		rc = tk_restore_write_extents(worker, extents, count, segment->length_bytes, large->file, part * large->restore->segment_bytes, err);
	free(extents);
	if (rc || (rc = segment_digest(worker, &large->digests[part], err)))
		return rc;
	return memcmp(&large->digests[part], &segment->digest, sizeof(segment->digest)) == 0 ? TK_OK : tk_restore_wrong_content(err);
}

/* *same: the basis has this very segment at its place; with a file, it is there now, too. */
static enum tk_rc
take_from_basis(struct tk_restore_worker *worker, struct large *large, size_t part, bool *same, struct tk_err *err)
{
	const struct tk_segment *segment = &large->segments[part];
	uint64_t offset = part * large->restore->segment_bytes;
	bool whole = false;
	enum tk_rc rc;

	tk_content_hash_begin(worker->hash);
	if ((rc = tk_restore_read_basis(worker, large->basis, offset, segment->length_bytes, large->file, &whole, err)))
		return rc;
	*same = whole && !(rc = segment_digest(worker, &large->digests[part], err)) &&
		memcmp(&large->digests[part], &segment->digest, sizeof(segment->digest)) == 0;
	if (rc || *same || !large->file)
		return rc;
	return tk_target_file_clear(large->file, offset, segment->length_bytes, err);
}

static enum tk_rc
run_segment(struct tk_restore_worker *worker, struct large *large, size_t part, struct tk_err *err)
{
	bool same = false;
	enum tk_rc rc;

	if (tk_restore_cancelled(large->restore))
		return tk_err_set(err, TK_ECANCELLED, "interrupted");
	if (large->basis >= 0 && (rc = take_from_basis(worker, large, part, &same, err)))
		return rc;
	pthread_mutex_lock(&large->lock);
	large->differs |= !same;
	large->reused_bytes += same ? large->segments[part].length_bytes : 0;
	pthread_mutex_unlock(&large->lock);
	if (same)
		return TK_OK;
	if (large->file)
		return fetch_segment(worker, large, part, err);
	tk_restore_work_stop(large->restore->work, &large->shared);
	return TK_OK;
}

static void
run(struct tk_shared *shared, size_t part, void *ctx)
{
	struct large *large = (struct large *)shared;
	struct tk_restore_worker *worker = ctx;
	struct tk_err err;

	worker->turn = &large->turn;
	if (run_segment(worker, large, part, &err))
		large_failed(large, &err);
	worker->turn = NULL;
}

static enum tk_rc
run_all(struct tk_restore_worker *worker, struct large *large, const struct tk_entry *entry, struct tk_err *err)
{
	struct tk_restore *restore = large->restore;
	struct tk_blob_source source = tk_fetch_source(restore->opts->fetch);
	struct tk_digest whole;
	enum tk_rc rc = tk_segments_read(&source, restore->opts->packs, entry->segments, entry->meta.size_bytes, restore->segment_bytes, &large->segments,
					 &large->shared.count, err);

	if (rc)
		return rc;
	if (!(large->digests = calloc(large->shared.count + 1, sizeof(*large->digests))))
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu segments", large->shared.count);
	tk_restore_work_share(restore->work, &large->shared, worker);
	if (large->failed) {
		if (err)
			*err = large->failure;
		return large->failure.rc;
	}
	if (!large->file && large->differs)
		return TK_OK;
	if ((rc = tk_content_hash_combine(worker->hash, entry->meta.size_bytes, large->digests, large->shared.count, &whole, err)))
		return rc;
	return memcmp(&whole, &entry->content, sizeof(whole)) == 0 ? TK_OK : tk_restore_wrong_content(err);
}

static enum tk_rc
run_large(struct tk_restore_worker *worker, const struct tk_entry *entry, const struct tk_target_file *file, int basis, struct large *large,
	  struct tk_err *err)
{
	enum tk_rc rc;

	*large = (struct large){.shared.run = run, .restore = worker->restore, .file = file, .basis = basis};
	(void)pthread_mutex_init(&large->lock, NULL);
	(void)pthread_mutex_init(&large->turn, NULL);
	rc = run_all(worker, large, entry, err);
	(void)pthread_mutex_destroy(&large->turn);
	(void)pthread_mutex_destroy(&large->lock);
	free(large->segments);
	free(large->digests);
	return rc;
}

enum tk_rc
tk_restore_segments(struct tk_restore_worker *worker, const struct tk_entry *entry, const struct tk_target_file *file, int basis, uint64_t *reused_bytes,
		    struct tk_err *err)
{
	struct large large;
	enum tk_rc rc = tk_target_file_set_size(file, entry->meta.size_bytes, err);

	if (!rc)
		rc = run_large(worker, entry, file, basis, &large, err);
	if (!rc)
		*reused_bytes = large.reused_bytes;
	return rc;
}

enum tk_rc
tk_restore_compare_segments(struct tk_restore_worker *worker, int fd, const struct tk_entry *entry, bool *same, struct tk_err *err)
{
	struct large large;
	enum tk_rc rc = run_large(worker, entry, NULL, fd, &large, err);

	*same = !rc && !large.differs;
	return rc;
}
