#include "engine/job/packer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/job/packer_core.h"

#define PACK_PLAIN_DEFAULT (64u << 20)
/* A file of it is had by fetching all of it; no larger source has these parameters of zstd, which suit small files as well as a megabyte's. */
#define SOLID_PLAIN_BYTES (256u << 10)
#define MIXED_PACK_BYTES (1u << 20)
#define CONTENT_ROWS_MAX 200000u
#define PACK_BLOBS_SOFT_MAX 60000u
/* Blobs numbered after an open one wait for it at the writer: no more than this many, far fewer than the pool holds. */
#define OPEN_LAG_MAX 8u

/* ---- numbers; all with `numbering` held ---- */

static enum tk_rc
open_pack(struct tk_packer *packer, enum tk_pack_type type, struct tk_pack_out **out, struct tk_err *err)
{
	struct tk_pack_out *pack = calloc(1, sizeof(*pack));
	enum tk_rc rc;

	if (!pack)
		return tk_err_set(err, TK_ENOMEM, "no memory for a pack");
	pack->fd = -1;
	pack->next = packer->all_packs;
	packer->all_packs = pack;
	if ((rc = tk_pack_head_begin(packer->opts.keys, packer->opts.suite, type, &packer->opts.incarnation, &pack->head, err)) ||
	    (rc = tk_packtab_intern(packer->opts.packs, &pack->head.name, &pack->number, err)) ||
	    (rc = tk_spool_create(packer->opts.spool, &pack->head.name, &pack->fd, err)) ||
	    (rc = tk_pack_file_begin(pack->fd, &pack->head, packer->opts.packs, &pack->file, err)))
		return rc;
	pthread_mutex_lock(&packer->lock);
	packer->open_packs++;
	pthread_mutex_unlock(&packer->lock);
	*out = pack;
	return TK_OK;
}

static void
close_solid(struct tk_packer *packer)
{
	struct tk_blob_job *job = packer->solid;

	packer->solid = NULL;
	if (!job)
		return;
	job->pack->plain_bytes += job->plain.len_bytes;
	(void)!tk_queue_push(packer->to_seal, job);
}

/* Keeps the solid blob from holding up too many finished ones behind it. */
static void
close_laggard(struct tk_packer *packer, const struct tk_pack_out *pack)
{
	if (packer->solid && packer->solid->pack == pack && pack->next_blob - packer->solid->blob > OPEN_LAG_MAX)
		close_solid(packer);
}

void
tk_packer_number(struct tk_packer *packer, struct tk_pack_out *pack, struct tk_blob_job *job)
{
	close_laggard(packer, pack);
	job->pack = pack;
	job->blob = pack->next_blob;
	if (job->kind == TK_JOB_BLOB)
		pack->next_blob++;
	pack->plain_bytes += job->plain.len_bytes;
	(void)!tk_queue_push(packer->to_seal, job);
}

static int
by_place(const void *left, const void *right)
{
	const struct tk_content_row *a = left, *b = right;

	if (a->blob != b->blob)
		return a->blob < b->blob ? -1 : 1;
	return a->offset_bytes < b->offset_bytes ? -1 : a->offset_bytes > b->offset_bytes;
}

/* The pack's contents blob, from rows that came in the order in which blobs were filled. */
static enum tk_rc
put_contents(struct tk_packer *packer, struct tk_pack_out *pack, struct tk_err *err)
{
	struct tk_blob_job *job;
	enum tk_rc rc;

	if (pack->row_count == 0)
		return TK_OK;
	if ((rc = tk_packer_take_job(packer, &job, err)))
		return rc;
	qsort(pack->rows, pack->row_count, sizeof(*pack->rows), by_place);
	if ((rc = tk_contents_encode(pack->rows, pack->row_count, &job->plain, err))) {
		(void)!tk_queue_push(packer->free_jobs, job);
		return rc;
	}
	job->type = TK_BLOB_CONTENTS;
	tk_packer_number(packer, pack, job);
	free(pack->rows);
	pack->rows = NULL;
	pack->row_count = pack->row_cap = 0;
	return TK_OK;
}

static enum tk_rc
end_pack(struct tk_packer *packer, struct tk_pack_out **slot, struct tk_err *err)
{
	struct tk_pack_out *pack = *slot;
	struct tk_blob_job *job;
	enum tk_rc rc;

	if (!pack)
		return TK_OK;
	if (packer->solid && packer->solid->pack == pack)
		close_solid(packer);
	if ((rc = put_contents(packer, pack, err)) || (rc = tk_packer_take_job(packer, &job, err)))
		return rc;
	*slot = NULL;
	job->kind = TK_JOB_END_OF_PACK;
	tk_packer_number(packer, pack, job);
	return TK_OK;
}

static bool
is_full(const struct tk_packer *packer, const struct tk_pack_out *pack, uint64_t plain_max)
{
	return pack != packer->placed &&
	       (pack->plain_bytes >= plain_max || pack->row_count >= CONTENT_ROWS_MAX || pack->next_blob >= PACK_BLOBS_SOFT_MAX);
}

enum tk_rc
tk_packer_need_data_pack(struct tk_packer *packer, struct tk_err *err)
{
	bool first = packer->first_pack;
	enum tk_rc rc;

	if (packer->data_pack && is_full(packer, packer->data_pack, packer->opts.pack_plain_bytes) &&
	    (rc = end_pack(packer, &packer->data_pack, err)))
		return rc;
	if (packer->data_pack)
		return TK_OK;
	packer->first_pack = false;
	return open_pack(packer, first ? TK_PACK_MIXED : TK_PACK_DATA, &packer->data_pack, err);
}

enum tk_rc
tk_pack_rows_reserve(struct tk_pack_out *pack, size_t more, struct tk_err *err)
{
	size_t cap = pack->row_cap ? pack->row_cap : 256;
	struct tk_content_row *grown;

	if (more <= pack->row_cap - pack->row_count)
		return TK_OK;
	while (cap - pack->row_count < more)
		cap *= 2;
	grown = realloc(pack->rows, cap * sizeof(*grown));
	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "no memory for a pack's contents");
	pack->rows = grown;
	pack->row_cap = cap;
	return TK_OK;
}

enum tk_rc
tk_packer_need_solid(struct tk_packer *packer, size_t len_bytes, struct tk_err *err)
{
	size_t max_bytes = packer->opts.blob_plain_bytes < SOLID_PLAIN_BYTES ? packer->opts.blob_plain_bytes : SOLID_PLAIN_BYTES;
	struct tk_blob_job *job;
	enum tk_rc rc;

	/* A piece that is larger still has one for itself. */
	if (packer->solid && packer->solid->plain.len_bytes + len_bytes > max_bytes)
		close_solid(packer);
	if (packer->solid)
		return TK_OK;
	if ((rc = tk_packer_need_data_pack(packer, err)) || (rc = tk_packer_take_job(packer, &job, err)))
		return rc;
	job->pack = packer->data_pack;
	job->blob = packer->data_pack->next_blob++;
	packer->solid = job;
	return TK_OK;
}

/* The pack that the next metadata blob goes to. */
static enum tk_rc
meta_target(struct tk_packer *packer, struct tk_pack_out **target, struct tk_err *err)
{
	enum tk_rc rc;

	*target = packer->placed;
	if (*target)
		return TK_OK;
	if (packer->meta_pack && is_full(packer, packer->meta_pack, packer->opts.pack_plain_bytes) && (rc = end_pack(packer, &packer->meta_pack, err)))
		return rc;
	if (!packer->meta_pack) {
		bool mixed = packer->first_pack || (packer->data_pack && packer->data_pack->head.type == TK_PACK_MIXED &&
						    packer->data_pack->plain_bytes < MIXED_PACK_BYTES);

		if (mixed) {
			if ((rc = tk_packer_need_data_pack(packer, err)))
				return rc;
			*target = packer->data_pack;
			/* It may just have been full, and the next one is for data alone. */
			if (packer->data_pack->head.type == TK_PACK_MIXED)
				return TK_OK;
		}
		if ((rc = open_pack(packer, TK_PACK_META, &packer->meta_pack, err)))
			return rc;
	}
	*target = packer->meta_pack;
	return TK_OK;
}

/* ---- for callers ---- */

static enum tk_rc
add_locked(struct tk_packer *packer, const void *data, size_t len_bytes, const uint8_t *chunk_id, struct tk_extent *extent, struct tk_err *err)
{
	struct tk_blob_job *job;
	struct tk_pack_out *pack;
	enum tk_rc rc = tk_packer_need_solid(packer, len_bytes, err);

	if (rc)
		return rc;
	job = packer->solid;
	pack = job->pack;
	*extent = (struct tk_extent){{pack->number, job->blob}, (uint32_t)job->plain.len_bytes, (uint32_t)len_bytes};
	if ((rc = tk_pack_rows_reserve(pack, 1, err)) || (rc = tk_buf_put(&job->plain, data, len_bytes, err)) || !chunk_id)
		return rc;
	pack->rows[pack->row_count] = (struct tk_content_row){job->blob, extent->offset_bytes, extent->length_bytes, {0}};
	memcpy(pack->rows[pack->row_count++].id, chunk_id, sizeof(pack->rows->id));
	return TK_OK;
}

enum tk_rc
tk_packer_add(struct tk_packer *packer, const void *data, size_t len_bytes, const uint8_t *chunk_id, struct tk_extent *extent,
	      struct tk_err *err)
{
	enum tk_rc rc;

	if (len_bytes == 0 || len_bytes > packer->opts.blob_plain_bytes)
		return tk_err_set(err, TK_EINVAL, "%zu bytes do not fit a blob", len_bytes);
	pthread_mutex_lock(&packer->numbering);
	rc = add_locked(packer, data, len_bytes, chunk_id, extent, err);
	pthread_mutex_unlock(&packer->numbering);
	return rc;
}

enum tk_rc
tk_packer_place(struct tk_packer *packer, uint32_t *pack, struct tk_err *err)
{
	struct tk_pack_out *target;
	enum tk_rc rc;

	pthread_mutex_lock(&packer->numbering);
	rc = meta_target(packer, &target, err);
	if (!rc) {
		packer->placed = target;
		*pack = target->number;
	}
	pthread_mutex_unlock(&packer->numbering);
	return rc;
}

static enum tk_rc
fill_meta(struct tk_blob_job *job, const void *plain, size_t plain_bytes, const struct tk_blob_ref *refs, size_t ref_count, struct tk_err *err)
{
	enum tk_rc rc = tk_buf_put(&job->plain, plain, plain_bytes, err);

	if (!rc && ref_count > job->ref_cap) {
		struct tk_blob_ref *grown = realloc(job->refs, ref_count * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for %zu references", ref_count);
		job->refs = grown;
		job->ref_cap = ref_count;
	}
	if (!rc && ref_count)
		memcpy(job->refs, refs, ref_count * sizeof(*refs));
	job->ref_count = ref_count;
	return rc;
}

enum tk_rc
tk_packer_put(struct tk_packer *packer, enum tk_blob_type type, const void *plain, size_t plain_bytes, const struct tk_blob_ref *refs,
	      size_t ref_count, struct tk_blob_ref *ref, struct tk_err *err)
{
	struct tk_pack_out *target;
	struct tk_blob_job *job;
	enum tk_rc rc = tk_packer_take_job(packer, &job, err);

	if (rc)
		return rc;
	job->type = type;
	rc = fill_meta(job, plain, plain_bytes, refs, ref_count, err);
	pthread_mutex_lock(&packer->numbering);
	if (!rc && !(rc = meta_target(packer, &target, err))) {
		*ref = (struct tk_blob_ref){target->number, target->next_blob};
		packer->placed = NULL;
		tk_packer_number(packer, target, job);
	}
	pthread_mutex_unlock(&packer->numbering);
	if (rc)
		(void)!tk_queue_push(packer->free_jobs, job);
	return rc;
}

enum tk_rc
tk_packer_finish(struct tk_packer *packer, const struct tk_pack_ident **idents, size_t *count, struct tk_err *err)
{
	enum tk_rc rc;

	pthread_mutex_lock(&packer->numbering);
	if (!(rc = end_pack(packer, &packer->data_pack, err)))
		rc = end_pack(packer, &packer->meta_pack, err);
	pthread_mutex_unlock(&packer->numbering);
	if (rc)
		return rc;
	pthread_mutex_lock(&packer->lock);
	while (packer->open_packs > 0 && !atomic_load(&packer->failed))
		pthread_cond_wait(&packer->idle, &packer->lock);
	*idents = packer->idents;
	*count = packer->ident_count;
	pthread_mutex_unlock(&packer->lock);
	return tk_packer_check(packer, err);
}

enum tk_rc
tk_packer_new(const struct tk_packer_opts *opts, struct tk_packer **out, struct tk_err *err)
{
	TK_AUTO(tk_packer_cleanup) struct tk_packer *packer = calloc(1, sizeof(*packer));
	enum tk_rc rc;

	if (!packer)
		return tk_err_set(err, TK_ENOMEM, "no memory for the packer");
	packer->opts = *opts;
	if (packer->opts.threads == 0)
		packer->opts.threads = 1;
	if (packer->opts.pack_plain_bytes == 0)
		packer->opts.pack_plain_bytes = PACK_PLAIN_DEFAULT;
	if (packer->opts.blob_plain_bytes == 0)
		packer->opts.blob_plain_bytes = TK_BLOB_DATA_MAX;
	packer->first_pack = true;
	(void)pthread_mutex_init(&packer->numbering, NULL);
	(void)pthread_mutex_init(&packer->lock, NULL);
	(void)pthread_cond_init(&packer->idle, NULL);
	if ((rc = tk_packer_start(packer, err)))
		return rc;
	*out = packer;
	packer = NULL;
	return TK_OK;
}

static void
free_pack(struct tk_packer *packer, struct tk_pack_out *pack)
{
	tk_pack_file_cleanup(&pack->file);
	if (pack->fd >= 0) {
		close(pack->fd);
		tk_spool_discard(packer->opts.spool, &pack->head.name);
	}
	tk_pack_head_wipe(&pack->head);
	free(pack->rows);
	free(pack);
}

void
tk_packer_cleanup(struct tk_packer **slot)
{
	struct tk_packer *packer = *slot;

	if (!packer)
		return;
	*slot = NULL;
	tk_packer_stop(packer);
	while (packer->all_packs) {
		struct tk_pack_out *pack = packer->all_packs;

		packer->all_packs = pack->next;
		free_pack(packer, pack);
	}
	free(packer->idents);
	(void)pthread_cond_destroy(&packer->idle);
	(void)pthread_mutex_destroy(&packer->lock);
	(void)pthread_mutex_destroy(&packer->numbering);
	free(packer);
}
