#include "engine/job/ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/fsio/openat.h"
#include "engine/job/ingest_core.h"

#define DELTA_MIN_DEFAULT (1u << 20)

enum tk_rc
tk_ingest_break(struct tk_ingest *ingest, enum tk_rc rc)
{
	atomic_store(&ingest->broken, true);
	return rc;
}

bool
tk_ingest_broken(const struct tk_ingest *ingest)
{
	return atomic_load(&ingest->broken);
}

void
tk_ingest_tell_reuse(struct tk_ingest *ingest, struct tk_blob_ref ref)
{
	if (!ingest->opts.on_reuse)
		return;
	pthread_mutex_lock(&ingest->telling);
	ingest->opts.on_reuse(ingest->opts.ctx, ref);
	pthread_mutex_unlock(&ingest->telling);
}

const struct tk_ingest_stats *
tk_ingest_stats(const struct tk_ingest *ingest)
{
	return &ingest->stats;
}

void
tk_content_release(struct tk_content *content)
{
	free(content->extents);
	memset(content, 0, sizeof(*content));
}

uint32_t
tk_ingest_leaf_bytes(const struct tk_ingest *ingest)
{
	return ingest->opts.segment_bytes < TK_LEAF_BYTES ? ingest->opts.segment_bytes : TK_LEAF_BYTES;
}

void
tk_facts_name(const struct tk_digest *digest, char dst[TK_LOCAL_NAME_MAX])
{
	tk_hex_encode(digest->b, sizeof(digest->b), dst);
}

void
tk_meta_name(struct tk_packtab *packs, struct tk_blob_ref ref, char dst[TK_LOCAL_NAME_MAX])
{
	struct tk_pack_name name = tk_packtab_name(packs, ref.pack);

	tk_hex_encode(name.b, sizeof(name.b), dst);
	(void)snprintf(dst + 2 * sizeof(name.b), TK_LOCAL_NAME_MAX - 2 * sizeof(name.b), "-%x", ref.blob);
}

/* ---- where segment maps go and come from ---- */

static enum tk_rc
sink_place(void *ctx, uint32_t *pack, struct tk_err *err)
{
	struct tk_ingest *ingest = ctx;

	return tk_packer_place(ingest->opts.packer, pack, err);
}

static enum tk_rc
sink_put(void *ctx, enum tk_blob_type type, const void *plain, size_t plain_bytes, const struct tk_blob_ref *refs, size_t ref_count,
	 struct tk_blob_ref *ref, struct tk_err *err)
{
	struct tk_ingest *ingest = ctx;
	char name[TK_LOCAL_NAME_MAX];
	enum tk_rc rc = tk_packer_put(ingest->opts.packer, type, plain, plain_bytes, refs, ref_count, ref, err);

	if (rc)
		return rc;
	tk_meta_name(ingest->opts.packs, *ref, name);
	return tk_localstore_put(ingest->opts.local, TK_LOCAL_META, name, plain, plain_bytes, err);
}

static enum tk_rc
source_read(void *ctx, struct tk_blob_ref ref, enum tk_blob_type type, struct tk_buf *plain, struct tk_err *err)
{
	struct tk_ingest *ingest = ctx;
	char name[TK_LOCAL_NAME_MAX];
	enum tk_rc rc;

	tk_meta_name(ingest->opts.packs, ref, name);
	if ((rc = tk_localstore_mark(ingest->opts.local, TK_LOCAL_META, name, err)))
		return rc;
	rc = tk_localstore_get(ingest->opts.local, TK_LOCAL_META, name, plain, err);
	if (rc != TK_ENOENT)
		return rc;
	if ((rc = ingest->opts.remote.read(ingest->opts.remote.ctx, ref, type, plain, err)))
		return rc;
	return tk_localstore_put(ingest->opts.local, TK_LOCAL_META, name, plain->data, plain->len_bytes, err);
}

/* ---- files ---- */

enum tk_rc
tk_ingest_take_old(const struct tk_entry *old, struct tk_content *out, struct tk_err *err)
{
	out->unchanged = true;
	out->kind = old->kind;
	out->segments = old->segments;
	out->extent_count = 0;
	for (size_t i = 0; i < old->extent_count; i++) {
		enum tk_rc rc = tk_extents_append(&out->extents, &out->extent_count, &out->extent_cap, old->extents[i], err);

		if (rc)
			return rc;
	}
	return TK_OK;
}

/* A file that fits one chunk: read whole, often one blob's small part. */
static enum tk_rc
ingest_small(struct tk_ingest *ingest, int fd, uint64_t size_bytes, const struct tk_entry *old, struct tk_content *out, struct tk_err *err)
{
	struct tk_extent_list list = {out->extents, 0, out->extent_cap};
	const struct tk_worker *worker = &ingest->workers[0];
	size_t got = 0;
	enum tk_rc rc = tk_pread_full(fd, worker->window, (size_t)size_bytes, 0, &got, "file", err);

	if (rc)
		return rc;
	ingest->stats.read_bytes += got;
	out->size_bytes = got;
	if ((rc = tk_content_hash_all(worker->hash, worker->window, got, &out->digest, err)))
		return tk_ingest_break(ingest, rc);
	if (old && old->meta.size_bytes == got && memcmp(&old->content, &out->digest, sizeof(out->digest)) == 0)
		return tk_ingest_take_old(old, out, err);
	out->kind = got > 0 ? TK_CONTENT_EXTENTS : TK_CONTENT_NONE;
	rc = tk_ingest_chunks(ingest, worker->window, got, &out->digest, &list, err);
	out->extents = list.rows;
	out->extent_count = list.count;
	out->extent_cap = list.cap;
	return rc;
}

static bool
moved_on(const struct tk_stat *before, const struct tk_stat *after)
{
	return before->size_bytes != after->size_bytes || before->mtime_s != after->mtime_s || before->mtime_ns != after->mtime_ns ||
	       before->ctime_s != after->ctime_s || before->ctime_ns != after->ctime_ns;
}

enum tk_rc
tk_ingest_file(struct tk_ingest *ingest, int fd, const char *name, const struct tk_ingest_past *past, struct tk_content *out, struct tk_err *err)
{
	for (unsigned attempt = 0;; attempt++) {
		struct tk_stat after;
		enum tk_rc rc;

		out->unchanged = out->inconsistent = out->not_grown = false;
		out->extent_count = 0;
		out->kind = TK_CONTENT_NONE;
		if ((rc = tk_stat_fd(fd, &out->st, err)))
			return rc;
		if (out->st.size_bytes <= ingest->cdc.max_bytes)
			rc = ingest_small(ingest, fd, out->st.size_bytes, past->entry, out, err);
		else
			rc = tk_ingest_large(ingest, fd, name, out->st.size_bytes, past, out, err);
		if (rc || (rc = tk_stat_fd(fd, &after, err)))
			return rc;
		if (!moved_on(&out->st, &after))
			return TK_OK;
		if (attempt >= ingest->opts.retries) {
			out->inconsistent = true;
			return TK_OK;
		}
	}
}

bool
tk_ingest_keeps_facts(const struct tk_ingest *ingest, uint64_t size_bytes)
{
	const struct tk_ingest_opts *opts = &ingest->opts;

	return opts->tag_key && opts->signature != TK_SIGNATURE_NEVER && size_bytes >= opts->delta_min_bytes;
}

bool
tk_ingest_takes_guess(const struct tk_ingest *ingest, uint64_t size_bytes)
{
	return size_bytes > ingest->cdc.max_bytes && tk_ingest_keeps_facts(ingest, size_bytes);
}

enum tk_rc
tk_ingest_mark_facts(struct tk_ingest *ingest, const struct tk_digest *facts, struct tk_err *err)
{
	enum tk_signature_kind kind = ingest->opts.signature;
	char name[TK_LOCAL_NAME_MAX];
	enum tk_rc rc;

	/* What the policy does not ask for any more may go. */
	if (kind == TK_SIGNATURE_NEVER)
		return TK_OK;
	tk_facts_name(facts, name);
	rc = tk_localstore_mark(ingest->opts.local, TK_LOCAL_FACTS, name, err);
	return rc || kind != TK_SIGNATURE_ROLLING ? rc : tk_localstore_mark(ingest->opts.local, TK_LOCAL_SIGNATURE, name, err);
}

enum tk_rc
tk_ingest_keep_segment(struct tk_ingest *ingest, const struct tk_segment *segment, const struct tk_digest *facts, struct tk_err *err)
{
	char name[TK_LOCAL_NAME_MAX];
	enum tk_rc rc;

	if ((rc = tk_ingest_mark_facts(ingest, facts, err)))
		return rc;
	tk_meta_name(ingest->opts.packs, segment->base, name);
	rc = tk_localstore_mark(ingest->opts.local, TK_LOCAL_META, name, err);
	for (unsigned i = 0; i < segment->overlay_count && !rc; i++) {
		tk_meta_name(ingest->opts.packs, segment->overlays[i], name);
		rc = tk_localstore_mark(ingest->opts.local, TK_LOCAL_META, name, err);
	}
	return rc;
}

/* What cannot be looked at now is only what the local store may lose: it is asked of a site when it is needed. */
bool
tk_ingest_is_unavailable(enum tk_rc rc)
{
	return rc == TK_EUNREACH || rc == TK_ETIMEOUT || rc == TK_EMISSING || rc == TK_ENOENT || rc == TK_ECORRUPT;
}

enum tk_rc
tk_ingest_keep(struct tk_ingest *ingest, const struct tk_entry *entry, struct tk_err *err)
{
	struct tk_segment *segments = NULL;
	size_t count = 0;
	enum tk_rc rc;

	if (entry->meta.type != TK_FT_REG || entry->meta.size_bytes <= ingest->cdc.max_bytes)
		return TK_OK;
	if ((rc = tk_ingest_mark_facts(ingest, &entry->content, err)) || entry->kind != TK_CONTENT_SEGMENTS)
		return rc;
	/* Reading the tree marks its nodes; the maps below are not touched. */
	rc = tk_segments_read(&ingest->source, ingest->opts.packs, entry->segments, entry->meta.size_bytes, ingest->opts.segment_bytes, &segments,
			      &count, err);
	if (tk_ingest_is_unavailable(rc))
		return TK_OK;
	for (size_t i = 0; i < count && !rc; i++)
		rc = tk_ingest_keep_segment(ingest, &segments[i], &segments[i].digest, err);
	free(segments);
	return rc;
}

enum tk_rc
tk_ingest_new(const struct tk_ingest_opts *opts, struct tk_ingest **out, struct tk_err *err)
{
	TK_AUTO(tk_ingest_cleanup) struct tk_ingest *ingest = calloc(1, sizeof(*ingest));
	enum tk_rc rc;

	if (!ingest)
		return tk_err_set(err, TK_ENOMEM, "no memory for a run");
	ingest->opts = *opts;
	if (ingest->opts.segment_bytes == 0)
		ingest->opts.segment_bytes = TK_SEGMENT_BYTES;
	if (ingest->opts.delta_min_bytes == 0)
		ingest->opts.delta_min_bytes = DELTA_MIN_DEFAULT;
	atomic_init(&ingest->rewriting.left_bytes, opts->rewrite_bytes);
	ingest->rewriting.crumbs_min = opts->rewrite_crumbs_min;
	ingest->rewriting.blob_bytes = opts->rewrite_blob_bytes;
	(void)pthread_mutex_init(&ingest->telling, NULL);
	(void)pthread_mutex_init(&ingest->maps, NULL);
	ingest->worker_count = opts->threads == 0 ? 1 : opts->threads > TK_INGEST_THREADS_MAX ? TK_INGEST_THREADS_MAX : opts->threads;
	ingest->workers = calloc(ingest->worker_count, sizeof(*ingest->workers));
	if (!ingest->workers)
		return tk_err_set(err, TK_ENOMEM, "no memory for a run");
	ingest->sink = (struct tk_page_sink){.ctx = ingest, .place = sink_place, .put = sink_put};
	ingest->source = (struct tk_blob_source){.ctx = ingest, .read = source_read};
	if ((rc = tk_cdc_init(&ingest->cdc, opts->keys->chunk_key, opts->chunk_min_bytes ? opts->chunk_min_bytes : TK_CDC_MIN_BYTES,
			      opts->chunk_avg_bytes ? opts->chunk_avg_bytes : TK_CDC_AVG_BYTES,
			      opts->chunk_max_bytes ? opts->chunk_max_bytes : TK_CDC_MAX_BYTES, err)) ||
	    (rc = tk_worker_init(&ingest->workers[0], ingest, err)))
		return rc;
	if (opts->tag_key && (rc = tk_facts_key_check(ingest->workers[0].tagger, ingest->facts_check, err)))
		return rc;
	*out = ingest;
	ingest = NULL;
	return TK_OK;
}

void
tk_ingest_cleanup(struct tk_ingest **slot)
{
	struct tk_ingest *ingest = *slot;

	if (!ingest)
		return;
	for (unsigned i = 0; i < ingest->worker_count && ingest->workers; i++)
		tk_worker_release(&ingest->workers[i]);
	free(ingest->workers);
	(void)pthread_mutex_destroy(&ingest->telling);
	(void)pthread_mutex_destroy(&ingest->maps);
	free(ingest);
	*slot = NULL;
}
