/* The packer's pool of jobs, and the threads that jobs pass through: some seal, one writes. */
#include <stdlib.h>
#include <unistd.h>

#include "engine/job/packer_core.h"

#define POOL_JOBS_EXTRA 20u

void
tk_packer_fail(struct tk_packer *packer, const struct tk_err *err)
{
	pthread_mutex_lock(&packer->lock);
	if (!atomic_load(&packer->failed)) {
		packer->failure = *err;
		atomic_store(&packer->failed, true);
	}
	pthread_cond_broadcast(&packer->idle);
	pthread_mutex_unlock(&packer->lock);
}

enum tk_rc
tk_packer_check(struct tk_packer *packer, struct tk_err *err)
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

enum tk_rc
tk_packer_take_job(struct tk_packer *packer, struct tk_blob_job **out, struct tk_err *err)
{
	struct tk_blob_job *job;
	enum tk_rc rc = tk_packer_check(packer, err);

	if (rc)
		return rc;
	job = tk_queue_pop(packer->free_jobs);
	job->kind = TK_JOB_BLOB;
	job->type = TK_BLOB_DATA;
	job->ref_count = 0;
	tk_buf_clear(&job->plain);
	*out = job;
	return TK_OK;
}

static void *
seal_main(void *arg)
{
	struct tk_packer *packer = arg;
	TK_AUTO(tk_sealer_cleanup) struct tk_sealer *sealer = NULL;
	struct tk_blob_job *job;
	struct tk_err err;

	if (tk_sealer_new(&sealer, &err))
		tk_packer_fail(packer, &err);
	while ((job = tk_queue_pop(packer->to_seal))) {
		/* After a failure jobs still travel their way round, so that nobody waits for ever. */
		if (job->kind == TK_JOB_BLOB && !atomic_load(&packer->failed) &&
		    tk_seal_blob(sealer, &job->pack->head, job->blob, job->type, packer->opts.codec, packer->opts.level, job->plain.data,
				 job->plain.len_bytes, &job->sealed, &job->info, &err))
			tk_packer_fail(packer, &err);
		(void)!tk_queue_push(packer->to_write, job);
	}
	if (atomic_fetch_sub(&packer->sealing, 1) == 1)
		tk_queue_close(packer->to_write);
	return NULL;
}

static enum tk_rc
add_ident(struct tk_packer *packer, const struct tk_pack_ident *ident, struct tk_err *err)
{
	if (packer->ident_count == packer->ident_cap) {
		size_t cap = packer->ident_cap ? packer->ident_cap * 2 : 16;
		struct tk_pack_ident *grown = realloc(packer->idents, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for the list of packs");
		packer->idents = grown;
		packer->ident_cap = cap;
	}
	packer->idents[packer->ident_count++] = *ident;
	packer->open_packs--;
	pthread_cond_broadcast(&packer->idle);
	return TK_OK;
}

static enum tk_rc
complete_pack(struct tk_packer *packer, struct tk_pack_out *pack, const struct tk_pack_ident *ident, struct tk_err *err)
{
	enum tk_rc rc = tk_spool_complete(packer->opts.spool, &pack->head.name, pack->fd, err);

	if (rc)
		return rc;
	close(pack->fd);
	pack->fd = -1;
	tk_pack_file_cleanup(&pack->file);
	if (packer->opts.on_pack && (rc = packer->opts.on_pack(packer->opts.ctx, ident, err)))
		return rc;
	pthread_mutex_lock(&packer->lock);
	rc = add_ident(packer, ident, err);
	pthread_mutex_unlock(&packer->lock);
	return rc;
}

/* What fails leaves the pack as it was. */
static enum tk_rc
write_once(struct tk_blob_job *job, struct tk_pack_ident *ident, struct tk_err *err)
{
	if (job->kind == TK_JOB_END_OF_PACK)
		return tk_pack_file_finish(job->pack->file, ident, err);
	return tk_pack_file_append(job->pack->file, job->blob, &job->info, job->sealed.data, job->refs, job->ref_count, err);
}

static enum tk_rc
write_job(struct tk_packer *packer, struct tk_blob_job *job, struct tk_err *err)
{
	struct tk_pack_ident ident;
	struct tk_err full;
	enum tk_rc rc;

	while ((rc = write_once(job, &ident, err)) == TK_ENOSPC && packer->opts.on_full && !atomic_load(&packer->failed)) {
		full = *err;
		/* What the disk said is what is told, unless there is something else to see to. */
		if ((rc = packer->opts.on_full(packer->opts.ctx, err)))
			return rc == TK_ENOSPC ? tk_err_set(err, rc, "%s", full.text) : rc;
	}
	return rc || job->kind != TK_JOB_END_OF_PACK ? rc : complete_pack(packer, job->pack, &ident, err);
}

/* Takes the job whose turn it is out of the pack's waiting list. */
static struct tk_blob_job *
take_waiting(struct tk_pack_out *pack)
{
	for (struct tk_blob_job **at = &pack->waiting; *at; at = &(*at)->next) {
		struct tk_blob_job *job = *at;

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
	struct tk_blob_job *job;
	struct tk_err err;

	while ((job = tk_queue_pop(packer->to_write))) {
		struct tk_pack_out *pack = job->pack;

		job->next = pack->waiting;
		pack->waiting = job;
		while ((job = take_waiting(pack))) {
			if (!atomic_load(&packer->failed) && write_job(packer, job, &err))
				tk_packer_fail(packer, &err);
			pack->next_write++;
			(void)!tk_queue_push(packer->free_jobs, job);
		}
	}
	return NULL;
}

static enum tk_rc
make_pool(struct tk_packer *packer, struct tk_err *err)
{
	size_t count = POOL_JOBS_EXTRA + 2u * packer->opts.threads;
	enum tk_rc rc;

	if ((rc = tk_queue_new(count, &packer->free_jobs, err)) || (rc = tk_queue_new(count, &packer->to_seal, err)) ||
	    (rc = tk_queue_new(count, &packer->to_write, err)))
		return rc;
	packer->pool = calloc(count, sizeof(*packer->pool));
	if (!packer->pool)
		return tk_err_set(err, TK_ENOMEM, "no memory for blob buffers");
	packer->pool_count = count;
	for (size_t i = 0; i < count; i++) {
		tk_buf_init(&packer->pool[i].plain, TK_BLOB_META_MAX);
		tk_buf_init(&packer->pool[i].sealed, 0);
		(void)!tk_queue_push(packer->free_jobs, &packer->pool[i]);
	}
	return TK_OK;
}

enum tk_rc
tk_packer_start(struct tk_packer *packer, struct tk_err *err)
{
	enum tk_rc rc = make_pool(packer, err);

	if (rc)
		return rc;
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

void
tk_packer_stop(struct tk_packer *packer)
{
	atomic_store(&packer->failed, true);
	if (packer->to_seal)
		tk_queue_close(packer->to_seal);
	for (unsigned i = 0; i < packer->seal_count; i++)
		pthread_join(packer->seal_threads[i], NULL);
	if (packer->to_write)
		tk_queue_close(packer->to_write);
	if (packer->writer_started)
		pthread_join(packer->writer, NULL);
	for (size_t i = 0; i < packer->pool_count; i++) {
		tk_buf_release(&packer->pool[i].plain);
		tk_buf_release(&packer->pool[i].sealed);
		free(packer->pool[i].refs);
	}
	free(packer->pool);
	tk_queue_free(packer->free_jobs);
	tk_queue_free(packer->to_seal);
	tk_queue_free(packer->to_write);
	free(packer->seal_threads);
}
