#include "engine/job/restore_work.h"

#include <pthread.h>
#include <stdlib.h>

#define PAGES_MAX 32u

struct tk_restore_work {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct tk_page_task pages[PAGES_MAX];
	size_t first, count;
	size_t busy;                   /* workers at a page: each may yet share something */
	bool closed;
	struct tk_shared *shared;      /* with parts that were not begun */
};

enum tk_rc
tk_restore_work_new(struct tk_restore_work **out, struct tk_err *err)
{
	struct tk_restore_work *work = calloc(1, sizeof(*work));

	if (!work)
		return tk_err_set(err, TK_ENOMEM, "no memory for the work of a restore");
	(void)pthread_mutex_init(&work->lock, NULL);
	(void)pthread_cond_init(&work->changed, NULL);
	*out = work;
	return TK_OK;
}

void
tk_restore_work_cleanup(struct tk_restore_work **work)
{
	if (!*work)
		return;
	(void)pthread_cond_destroy(&(*work)->changed);
	(void)pthread_mutex_destroy(&(*work)->lock);
	free(*work);
	*work = NULL;
}

void
tk_restore_work_push(struct tk_restore_work *work, const struct tk_page_task *page)
{
	pthread_mutex_lock(&work->lock);
	while (work->count == PAGES_MAX)
		pthread_cond_wait(&work->changed, &work->lock);
	work->pages[(work->first + work->count++) % PAGES_MAX] = *page;
	pthread_cond_broadcast(&work->changed);
	pthread_mutex_unlock(&work->lock);
}

void
tk_restore_work_close(struct tk_restore_work *work)
{
	pthread_mutex_lock(&work->lock);
	work->closed = true;
	pthread_cond_broadcast(&work->changed);
	pthread_mutex_unlock(&work->lock);
}

/* ---- parts; under the lock, which is not held while one runs ---- */

static void
unlist(struct tk_restore_work *work, struct tk_shared *shared)
{
	struct tk_shared **at = &work->shared;

	while (*at && *at != shared)
		at = &(*at)->peer;
	if (*at)
		*at = shared->peer;
}

static void
run_part(struct tk_restore_work *work, struct tk_shared *shared, void *worker)
{
	size_t part = shared->next++;

	shared->active++;
	if (shared->next == shared->count)
		unlist(work, shared);
	pthread_mutex_unlock(&work->lock);
	shared->run(shared, part, worker);
	pthread_mutex_lock(&work->lock);
	if (--shared->active == 0)
		pthread_cond_broadcast(&work->changed);
}

static void
run_alone(struct tk_shared *shared, void *worker)
{
	while (shared->next < shared->count)
		shared->run(shared, shared->next++, worker);
}

void
tk_restore_work_share(struct tk_restore_work *work, struct tk_shared *shared, void *worker)
{
	shared->next = shared->active = 0;
	if (!work) {
		run_alone(shared, worker);
		return;
	}
	pthread_mutex_lock(&work->lock);
	if (shared->count > 1) {
		shared->peer = work->shared;
		work->shared = shared;
		pthread_cond_broadcast(&work->changed);
	}
	while (shared->next < shared->count)
		run_part(work, shared, worker);
	while (shared->active > 0)
		pthread_cond_wait(&work->changed, &work->lock);
	pthread_mutex_unlock(&work->lock);
}

void
tk_restore_work_stop(struct tk_restore_work *work, struct tk_shared *shared)
{
	if (!work) {
		shared->next = shared->count;
		return;
	}
	pthread_mutex_lock(&work->lock);
	shared->next = shared->count;
	unlist(work, shared);
	pthread_mutex_unlock(&work->lock);
}

/* ---- workers ---- */

bool
tk_restore_work_next(struct tk_restore_work *work, void *worker, struct tk_page_task *page)
{
	bool got = false;

	pthread_mutex_lock(&work->lock);
	while (!got) {
		if (work->shared) {
			run_part(work, work->shared, worker);
		} else if (work->count > 0) {
			*page = work->pages[work->first];
			work->first = (work->first + 1) % PAGES_MAX;
			work->count--;
			work->busy++;
			got = true;
		} else if (work->closed && work->busy == 0) {
			break;
		} else {
			pthread_cond_wait(&work->changed, &work->lock);
		}
	}
	pthread_cond_broadcast(&work->changed);
	pthread_mutex_unlock(&work->lock);
	return got;
}

void
tk_restore_work_done(struct tk_restore_work *work)
{
	pthread_mutex_lock(&work->lock);
	work->busy--;
	pthread_cond_broadcast(&work->changed);
	pthread_mutex_unlock(&work->lock);
}
