#include "engine/job/packer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/queue.h"

#define PACK_PLAIN_DEFAULT (64u << 20)
#define MIXED_PACK_BYTES (1u << 20)
#define META_PACK_PLAIN_BYTES (64u << 20)
#define CONTENT_ROWS_MAX 200000u
#define PACK_BLOBS_SOFT_MAX 60000u
/* Blobs numbered after an open one wait for it at the writer: no more than this many, far fewer than the pool holds. */
#define OPEN_LAG_MAX 8u
#define POOL_JOBS_EXTRA 20u

/* A pack on its way. The run's thread owns the upper part, the writer thread the lower. */
struct pack_out {
	struct tk_pack_head head;
	uint32_t number;                      /* in the packtab */
	uint32_t next_blob;
	uint64_t plain_bytes;
	struct tk_content_row *rows;
	size_t row_count, row_cap;

	int fd;
	struct tk_pack_file *file;
	uint32_t next_write;
	struct blob_job *waiting;             /* list of jobs that came before their turn */
	struct pack_out *next;
};

enum job_kind { JOB_BLOB, JOB_END_OF_PACK };

struct blob_job {
	enum job_kind kind;
	struct pack_out *pack;
	uint32_t blob;
	enum tk_blob_type type;
	struct tk_buf plain;
	struct tk_buf sealed;
	struct tk_blob_info info;
	struct tk_blob_ref *refs;
	size_t ref_count, ref_cap;
	struct blob_job *next;
};

/* A data blob being filled. */
struct open_blob {
	struct blob_job *job;                 /* NULL: none open */
	size_t max_bytes;
};

struct tk_packer {
	struct tk_packer_opts opts;
	struct pack_out *data_pack, *meta_pack; /* NULL: none open; the first data pack is mixed */
	bool first_pack;
	struct open_blob solid, literal;
	struct pack_out *all_packs;
	uint64_t data_bytes;

	struct tk_queue *free_jobs, *to_seal, *to_write;
	struct blob_job *pool;
	size_t pool_count;
	pthread_t *seal_threads;
	unsigned seal_count;
	atomic_uint sealing;                  /* seal threads still running */
	pthread_t writer;
	bool writer_started;

	pthread_mutex_t lock;                 /* guards what follows */
	pthread_cond_t idle;
	size_t open_packs;                    /* not yet complete */
	struct tk_pack_ident *idents;
	size_t ident_count, ident_cap;
	struct tk_err failure;
	atomic_bool failed;
};

static void
fail(struct tk_packer *packer, const struct tk_err *err)
{
	pthread_mutex_lock(&packer->lock);
	if (!atomic_load(&packer->failed)) {
		packer->failure = *err;
		atomic_store(&packer->failed, true);
	}
	pthread_cond_broadcast(&packer->idle);
	pthread_mutex_unlock(&packer->lock);
}

static enum tk_rc
check_failed(struct tk_packer *packer, struct tk_err *err)
{
	enum tk_rc rc;

	if (!atomic_load(&packer->failed))
		return TK_OK;
	pthread_mutex_lock(&packer->lock);
	rc = packer->failure.rc;
	if (err)
		*err = packer->failure;
	pthread_mutex_unlock(&packer->lock);
	return rc;
}

/* ---- the seal threads ---- */

static void *
seal_main(void *arg)
{
	struct tk_packer *packer = arg;
	TK_AUTO(tk_sealer_cleanup) struct tk_sealer *sealer = NULL;
	struct blob_job *job;
	struct tk_err err;

	if (tk_sealer_new(&sealer, &err))
		fail(packer, &err);
	while ((job = tk_queue_pop(packer->to_seal))) {
		/* After a failure jobs still travel their way round, so that nobody waits for ever. */
		if (job->kind == JOB_BLOB && !atomic_load(&packer->failed) &&
		    tk_seal_blob(sealer, &job->pack->head, job->blob, job->type, packer->opts.codec, packer->opts.level, job->plain.data,
				 job->plain.len_bytes, &job->sealed, &job->info, &err))
			fail(packer, &err);
		(void)!tk_queue_push(packer->to_write, job);
	}
	if (atomic_fetch_sub(&packer->sealing, 1) == 1)
		tk_queue_close(packer->to_write);
	return NULL;
}

/* ---- the writer thread ---- */

static enum tk_rc
complete_pack(struct tk_packer *packer, struct pack_out *pack, struct tk_err *err)
{
	struct tk_pack_ident ident;
	enum tk_rc rc;

	if ((rc = tk_pack_file_finish(pack->file, &ident, err)) ||
	    (rc = tk_spool_complete(packer->opts.spool, &pack->head.name, pack->fd, err)))
		return rc;
	close(pack->fd);
	pack->fd = -1;
	tk_pack_file_cleanup(&pack->file);
	pthread_mutex_lock(&packer->lock);
	if (packer->ident_count == packer->ident_cap) {
		size_t cap = packer->ident_cap ? packer->ident_cap * 2 : 16;
		struct tk_pack_ident *grown = realloc(packer->idents, cap * sizeof(*grown));

		if (!grown) {
			pthread_mutex_unlock(&packer->lock);
			return tk_err_set(err, TK_ENOMEM, "no memory for the list of packs");
		}
		packer->idents = grown;
		packer->ident_cap = cap;
	}
	packer->idents[packer->ident_count++] = ident;
	packer->open_packs--;
	pthread_cond_broadcast(&packer->idle);
	pthread_mutex_unlock(&packer->lock);
	if (packer->opts.on_pack)
		packer->opts.on_pack(packer->opts.ctx, &ident);
	return TK_OK;
}

static enum tk_rc
write_job(struct tk_packer *packer, struct blob_job *job, struct tk_err *err)
{
	struct pack_out *pack = job->pack;

	if (job->kind == JOB_END_OF_PACK)
		return complete_pack(packer, pack, err);
	return tk_pack_file_append(pack->file, job->blob, &job->info, job->sealed.data, job->refs, job->ref_count, err);
}

/* Takes the job whose turn it is out of the pack's waiting list. */
static struct blob_job *
take_waiting(struct pack_out *pack)
{
	for (struct blob_job **at = &pack->waiting; *at; at = &(*at)->next) {
		struct blob_job *job = *at;

		if (job->blob == pack->next_write) {
			*at = job->next;
			return job;
		}
	}
	return NULL;
}

static void *
writer_main(void *arg)
{
	struct tk_packer *packer = arg;
	struct blob_job *job;
	struct tk_err err;

	while ((job = tk_queue_pop(packer->to_write))) {
		struct pack_out *pack = job->pack;

		job->next = pack->waiting;
		pack->waiting = job;
		while ((job = take_waiting(pack))) {
			if (!atomic_load(&packer->failed) && write_job(packer, job, &err))
				fail(packer, &err);
			pack->next_write++;
			(void)!tk_queue_push(packer->free_jobs, job);
		}
	}
	return NULL;
}

/* ---- the run's thread ---- */

static enum tk_rc
open_pack(struct tk_packer *packer, enum tk_pack_type type, struct pack_out **out, struct tk_err *err)
{
	struct pack_out *pack = calloc(1, sizeof(*pack));
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

/* Waits for a free job; it gets the pack's next number. */
static enum tk_rc
new_job(struct tk_packer *packer, struct pack_out *pack, enum job_kind kind, enum tk_blob_type type, struct blob_job **out, struct tk_err *err)
{
	struct blob_job *job;
	enum tk_rc rc = check_failed(packer, err);

	if (rc)
		return rc;
	job = tk_queue_pop(packer->free_jobs);
	job->kind = kind;
	job->pack = pack;
	job->type = type;
	job->ref_count = 0;
	tk_buf_clear(&job->plain);
	job->blob = pack->next_blob;
	if (kind == JOB_BLOB)
		pack->next_blob++;
	*out = job;
	return TK_OK;
}

static void
send_job(struct tk_packer *packer, struct blob_job *job)
{
	job->pack->plain_bytes += job->plain.len_bytes;
	(void)!tk_queue_push(packer->to_seal, job);
}

static void
close_blob(struct tk_packer *packer, struct open_blob *open)
{
	struct blob_job *job = open->job;

	open->job = NULL;
	if (job)
		send_job(packer, job);
}

/* Keeps an open blob from holding up too many finished ones behind it. */
static void
close_laggards(struct tk_packer *packer, const struct pack_out *pack)
{
	struct open_blob *open[2] = {&packer->solid, &packer->literal};

	for (int i = 0; i < 2; i++)
		if (open[i]->job && open[i]->job->pack == pack && pack->next_blob - open[i]->job->blob > OPEN_LAG_MAX)
			close_blob(packer, open[i]);
}

static enum tk_rc
put_blob(struct tk_packer *packer, struct pack_out *pack, enum tk_blob_type type, const void *plain, size_t plain_bytes,
	 const struct tk_blob_ref *refs, size_t ref_count, struct tk_blob_ref *ref, struct tk_err *err)
{
	struct blob_job *job;
	enum tk_rc rc;

	close_laggards(packer, pack);
	if ((rc = new_job(packer, pack, JOB_BLOB, type, &job, err)))
		return rc;
	*ref = (struct tk_blob_ref){pack->number, job->blob};
	if (!(rc = tk_buf_put(&job->plain, plain, plain_bytes, err)) && ref_count > job->ref_cap) {
		struct tk_blob_ref *grown = realloc(job->refs, ref_count * sizeof(*grown));

		if (grown) {
			job->refs = grown;
			job->ref_cap = ref_count;
		} else {
			rc = tk_err_set(err, TK_ENOMEM, "no memory for %zu references", ref_count);
		}
	}
	if (rc) {
		fail(packer, err);
	} else {
		if (ref_count)
			memcpy(job->refs, refs, ref_count * sizeof(*refs));
		job->ref_count = ref_count;
	}
	send_job(packer, job);
	return rc;
}

static enum tk_rc
end_pack(struct tk_packer *packer, struct pack_out **slot, struct tk_err *err)
{
	struct pack_out *pack = *slot;
	TK_AUTO(tk_buf_release) struct tk_buf contents = {0};
	struct tk_blob_ref ref;
	struct blob_job *job;
	enum tk_rc rc;

	if (!pack)
		return TK_OK;
	if (packer->solid.job && packer->solid.job->pack == pack)
		close_blob(packer, &packer->solid);
	if (packer->literal.job && packer->literal.job->pack == pack)
		close_blob(packer, &packer->literal);
	if (pack->row_count > 0) {
		tk_buf_init(&contents, TK_BLOB_META_MAX);
		if ((rc = tk_contents_encode(pack->rows, pack->row_count, &contents, err)) ||
		    (rc = put_blob(packer, pack, TK_BLOB_CONTENTS, contents.data, contents.len_bytes, NULL, 0, &ref, err)))
			return rc;
	}
	free(pack->rows);
	pack->rows = NULL;
	*slot = NULL;
	if ((rc = new_job(packer, pack, JOB_END_OF_PACK, TK_BLOB_DATA, &job, err)))
		return rc;
	send_job(packer, job);
	return TK_OK;
}

/* Makes sure that a data pack with room is open. */
static enum tk_rc
need_data_pack(struct tk_packer *packer, struct tk_err *err)
{
	struct pack_out *pack = packer->data_pack;
	bool first = packer->first_pack;
	enum tk_rc rc;

	if (pack && (pack->plain_bytes >= packer->opts.pack_plain_bytes || pack->row_count >= CONTENT_ROWS_MAX ||
		     pack->next_blob >= PACK_BLOBS_SOFT_MAX) &&
	    (rc = end_pack(packer, &packer->data_pack, err)))
		return rc;
	if (packer->data_pack)
		return TK_OK;
	packer->first_pack = false;
	return open_pack(packer, first ? TK_PACK_MIXED : TK_PACK_DATA, &packer->data_pack, err);
}

static enum tk_rc
add_row(struct pack_out *pack, const struct tk_extent *extent, const uint8_t *chunk_id, struct tk_err *err)
{
	struct tk_content_row *row;

	if (pack->row_count == pack->row_cap) {
		size_t cap = pack->row_cap ? pack->row_cap * 2 : 256;
		struct tk_content_row *grown = realloc(pack->rows, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for a pack's contents");
		pack->rows = grown;
		pack->row_cap = cap;
	}
	row = &pack->rows[pack->row_count++];
	row->blob = extent->ref.blob;
	row->offset_bytes = extent->offset_bytes;
	row->length_bytes = extent->length_bytes;
	memcpy(row->id, chunk_id, sizeof(row->id));
	return TK_OK;
}

static enum tk_rc
add_bytes(struct tk_packer *packer, struct open_blob *open, const void *data, size_t len_bytes, const uint8_t *chunk_id,
	  struct tk_extent *extent, struct tk_err *err)
{
	struct pack_out *pack;
	enum tk_rc rc;

	if (len_bytes == 0 || len_bytes > open->max_bytes)
		return tk_err_set(err, TK_EINVAL, "%zu bytes do not fit a blob", len_bytes);
	if (open->job && open->job->plain.len_bytes + len_bytes > open->max_bytes)
		close_blob(packer, open);
	if (!open->job) {
		if ((rc = need_data_pack(packer, err)))
			return rc;
		close_laggards(packer, packer->data_pack);
		if ((rc = new_job(packer, packer->data_pack, JOB_BLOB, TK_BLOB_DATA, &open->job, err)))
			return rc;
	}
	pack = open->job->pack;
	*extent = (struct tk_extent){{pack->number, open->job->blob}, (uint32_t)open->job->plain.len_bytes, (uint32_t)len_bytes};
	packer->data_bytes += len_bytes;
	if ((rc = tk_buf_put(&open->job->plain, data, len_bytes, err)))
		return rc;
	return chunk_id ? add_row(pack, extent, chunk_id, err) : TK_OK;
}

enum tk_rc
tk_packer_add(struct tk_packer *packer, const void *data, size_t len_bytes, const uint8_t *chunk_id, struct tk_extent *extent,
	      struct tk_err *err)
{
	return add_bytes(packer, &packer->solid, data, len_bytes, chunk_id, extent, err);
}

enum tk_rc
tk_packer_add_literal(struct tk_packer *packer, const void *data, size_t len_bytes, struct tk_extent *extent, struct tk_err *err)
{
	return add_bytes(packer, &packer->literal, data, len_bytes, NULL, extent, err);
}

enum tk_rc
tk_packer_end_literals(struct tk_packer *packer, struct tk_err *err)
{
	close_blob(packer, &packer->literal);
	return check_failed(packer, err);
}

/* The pack that the next metadata blob goes to. */
static enum tk_rc
meta_target(struct tk_packer *packer, struct pack_out **target, struct tk_err *err)
{
	enum tk_rc rc;

	if (packer->meta_pack && (packer->meta_pack->plain_bytes >= META_PACK_PLAIN_BYTES || packer->meta_pack->next_blob >= PACK_BLOBS_SOFT_MAX) &&
	    (rc = end_pack(packer, &packer->meta_pack, err)))
		return rc;
	if (!packer->meta_pack) {
		bool mixed = packer->first_pack || (packer->data_pack && packer->data_pack->head.type == TK_PACK_MIXED &&
						    packer->data_pack->plain_bytes < MIXED_PACK_BYTES);

		if (mixed) {
			if ((rc = need_data_pack(packer, err)))
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

enum tk_rc
tk_packer_place(struct tk_packer *packer, uint32_t *pack, struct tk_err *err)
{
	struct pack_out *target;
	enum tk_rc rc = meta_target(packer, &target, err);

	if (!rc)
		*pack = target->number;
	return rc;
}

enum tk_rc
tk_packer_put(struct tk_packer *packer, enum tk_blob_type type, const void *plain, size_t plain_bytes, const struct tk_blob_ref *refs,
	      size_t ref_count, struct tk_blob_ref *ref, struct tk_err *err)
{
	struct pack_out *target;
	enum tk_rc rc = meta_target(packer, &target, err);

	return rc ? rc : put_blob(packer, target, type, plain, plain_bytes, refs, ref_count, ref, err);
}

enum tk_rc
tk_packer_finish(struct tk_packer *packer, const struct tk_pack_ident **idents, size_t *count, struct tk_err *err)
{
	enum tk_rc rc;

	if ((rc = end_pack(packer, &packer->data_pack, err)) || (rc = end_pack(packer, &packer->meta_pack, err)))
		return rc;
	pthread_mutex_lock(&packer->lock);
	while (packer->open_packs > 0 && !atomic_load(&packer->failed))
		pthread_cond_wait(&packer->idle, &packer->lock);
	*idents = packer->idents;
	*count = packer->ident_count;
	pthread_mutex_unlock(&packer->lock);
	return check_failed(packer, err);
}

uint64_t
tk_packer_data_bytes(const struct tk_packer *packer)
{
	return packer->data_bytes;
}

static enum tk_rc
start_threads(struct tk_packer *packer, struct tk_err *err)
{
	packer->seal_threads = calloc(packer->opts.threads, sizeof(*packer->seal_threads));
	if (!packer->seal_threads)
		return tk_err_set(err, TK_ENOMEM, "no memory for threads");
	if (pthread_create(&packer->writer, NULL, writer_main, packer))
		return tk_err_set(err, TK_ENOMEM, "cannot start the writer thread");
	packer->writer_started = true;
	/* Counted before they run: the last one to end closes the writer's queue. */
	atomic_store(&packer->sealing, packer->opts.threads);
	for (unsigned i = 0; i < packer->opts.threads; i++) {
		if (pthread_create(&packer->seal_threads[i], NULL, seal_main, packer)) {
			if (atomic_fetch_sub(&packer->sealing, packer->opts.threads - i) == packer->opts.threads - i)
				tk_queue_close(packer->to_write);
			return tk_err_set(err, TK_ENOMEM, "cannot start a seal thread");
		}
		packer->seal_count++;
	}
	return TK_OK;
}

static enum tk_rc
make_pool(struct tk_packer *packer, struct tk_err *err)
{
	packer->pool_count = POOL_JOBS_EXTRA + 2u * packer->opts.threads;
	packer->pool = calloc(packer->pool_count, sizeof(*packer->pool));
	if (!packer->pool)
		return tk_err_set(err, TK_ENOMEM, "no memory for blob buffers");
	for (size_t i = 0; i < packer->pool_count; i++) {
		tk_buf_init(&packer->pool[i].plain, TK_BLOB_META_MAX);
		tk_buf_init(&packer->pool[i].sealed, 0);
		(void)!tk_queue_push(packer->free_jobs, &packer->pool[i]);
	}
	return TK_OK;
}

enum tk_rc
tk_packer_new(const struct tk_packer_opts *opts, struct tk_packer **out, struct tk_err *err)
{
	TK_AUTO(tk_packer_cleanup) struct tk_packer *packer = calloc(1, sizeof(*packer));
	size_t room;
	enum tk_rc rc;

	if (!packer)
		return tk_err_set(err, TK_ENOMEM, "no memory for the packer");
	packer->opts = *opts;
	if (packer->opts.threads == 0)
		packer->opts.threads = 1;
	if (packer->opts.pack_plain_bytes == 0)
		packer->opts.pack_plain_bytes = PACK_PLAIN_DEFAULT;
	packer->first_pack = true;
	packer->solid.max_bytes = opts->blob_plain_bytes ? opts->blob_plain_bytes : TK_BLOB_DATA_MAX;
	packer->literal.max_bytes = TK_LITERAL_BLOB_BYTES;
	(void)pthread_mutex_init(&packer->lock, NULL);
	(void)pthread_cond_init(&packer->idle, NULL);
	room = POOL_JOBS_EXTRA + 2u * packer->opts.threads;
	if ((rc = tk_queue_new(room, &packer->free_jobs, err)) || (rc = tk_queue_new(room, &packer->to_seal, err)) ||
	    (rc = tk_queue_new(room, &packer->to_write, err)) || (rc = make_pool(packer, err)) || (rc = start_threads(packer, err)))
		return rc;
	*out = packer;
	packer = NULL;
	return TK_OK;
}

static void
free_pack(struct tk_packer *packer, struct pack_out *pack)
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
	atomic_store(&packer->failed, true);
	if (packer->to_seal)
		tk_queue_close(packer->to_seal);
	for (unsigned i = 0; i < packer->seal_count; i++)
		pthread_join(packer->seal_threads[i], NULL);
	if (packer->to_write)
		tk_queue_close(packer->to_write);
	if (packer->writer_started)
		pthread_join(packer->writer, NULL);
	while (packer->all_packs) {
		struct pack_out *pack = packer->all_packs;

		packer->all_packs = pack->next;
		free_pack(packer, pack);
	}
	for (size_t i = 0; i < packer->pool_count && packer->pool; i++) {
		tk_buf_release(&packer->pool[i].plain);
		tk_buf_release(&packer->pool[i].sealed);
		free(packer->pool[i].refs);
	}
	free(packer->pool);
	tk_queue_free(packer->free_jobs);
	tk_queue_free(packer->to_seal);
	tk_queue_free(packer->to_write);
	free(packer->seal_threads);
	free(packer->idents);
	(void)pthread_cond_destroy(&packer->idle);
	(void)pthread_mutex_destroy(&packer->lock);
	free(packer);
}
