/* What an interrupted run made of a file, taken over by the next one: data in packs that are whole, and maps that may be stored nowhere yet. */
#include <stdlib.h>
#include <string.h>

#include "engine/job/ingest_core.h"

struct adopting {
	struct tk_ingest *ingest;
	const struct tk_ingest_leavings *left;
	struct tk_blob_source local;          /* the local store alone: what sites have of that run is its data */
	struct tk_segment *segments;
	size_t count;
};

static enum tk_rc
read_local(void *ctx, struct tk_blob_ref ref, enum tk_blob_type type, struct tk_buf *plain, struct tk_err *err)
{
	struct tk_ingest *ingest = ctx;
	char name[TK_LOCAL_NAME_MAX];

	(void)type;
	tk_meta_name(ingest->opts.packs, ref, name);
	return tk_localstore_get(ingest->opts.local, TK_LOCAL_META, name, plain, err);
}

static bool
are_there(const struct adopting *job, const struct tk_extent *extents, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (extents[i].ref.pack != TK_PACK_NONE && !job->left->has_pack(job->left->ctx, extents[i].ref.pack))
			return false;
	return true;
}

static void
tell(const struct adopting *job, const struct tk_extent *extents, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (extents[i].ref.pack != TK_PACK_NONE)
			tk_ingest_tell_reuse(job->ingest, extents[i].ref);
}

/* Twice over all segments: nothing is stored of a file that is not whole, and not all of its extents are held at once. */
static enum tk_rc
check_segment(const struct adopting *job, const struct tk_segment *segment, bool *there, struct tk_err *err)
{
	struct tk_extent *extents = NULL;
	size_t count = 0;
	enum tk_rc rc = tk_segment_extents(&job->local, job->ingest->opts.packs, segment, &extents, &count, err);

	*there = !rc && are_there(job, extents, count);
	free(extents);
	return tk_ingest_is_unavailable(rc) ? TK_OK : rc;
}

static enum tk_rc
store_segment(const struct adopting *job, struct tk_segment *segment, struct tk_err *err)
{
	struct tk_ingest *ingest = job->ingest;
	struct tk_segment was = *segment;
	struct tk_extent *extents = NULL;
	size_t count = 0;
	enum tk_rc rc = tk_segment_extents(&job->local, ingest->opts.packs, &was, &extents, &count, err);

	if (!rc)
		rc = tk_segment_store(&ingest->sink, &job->local, ingest->opts.packs, NULL, NULL, 0, extents, count, &was.digest, was.length_bytes, segment, err);
	if (!rc)
		tell(job, extents, count);
	free(extents);
	return rc;
}

static enum tk_rc
adopt_segments(struct adopting *job, struct tk_entry *entry, bool *whole, struct tk_err *err)
{
	struct tk_ingest *ingest = job->ingest;
	struct tk_blob_ref none = {TK_PACK_NONE, 0};
	enum tk_rc rc = tk_segments_read(&job->local, ingest->opts.packs, entry->segments, entry->meta.size_bytes, ingest->opts.segment_bytes,
					 &job->segments, &job->count, err);

	if (rc)
		return tk_ingest_is_unavailable(rc) ? TK_OK : rc;
	*whole = true;
	for (size_t i = 0; i < job->count && *whole && !rc; i++)
		rc = check_segment(job, &job->segments[i], whole, err);
	if (rc || !*whole)
		return rc;
	for (size_t i = 0; i < job->count && !rc; i++)
		rc = store_segment(job, &job->segments[i], err);
	return rc ? rc : tk_segments_store(&ingest->sink, &job->local, ingest->opts.packs, job->segments, job->count, none, &entry->segments, err);
}

enum tk_rc
tk_ingest_adopt(struct tk_ingest *ingest, const struct tk_ingest_leavings *left, struct tk_entry *entry, bool *whole, struct tk_err *err)
{
	struct adopting job = {.ingest = ingest, .left = left, .local = {.ctx = ingest, .read = read_local}};
	enum tk_rc rc = TK_OK;

	*whole = false;
	if (entry->kind == TK_CONTENT_EXTENTS && are_there(&job, entry->extents, entry->extent_count)) {
		*whole = true;
		tell(&job, entry->extents, entry->extent_count);
	} else if (entry->kind == TK_CONTENT_SEGMENTS) {
		rc = adopt_segments(&job, entry, whole, err);
	}
	free(job.segments);
	return rc ? tk_ingest_break(ingest, rc) : TK_OK;
}
