#include "engine/job/sites.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/clock.h"
#include "engine/job/site_worker.h"

static enum tk_rc
add_work(struct tk_sites *sites, size_t site, const struct tk_site_work *model, const void *record, size_t len_bytes, struct tk_err *err)
{
	struct tk_site_worker *worker = &sites->workers[site];
	struct tk_site_work *work = malloc(sizeof(*work));
	enum tk_rc rc;

	if (!work)
		return tk_err_set(err, TK_ENOMEM, "no memory for a site's work");
	*work = *model;
	work->next = NULL;
	tk_buf_init(&work->record, 0);
	if ((rc = tk_buf_put(&work->record, record, len_bytes, err))) {
		tk_site_work_free(work);
		return rc;
	}
	pthread_mutex_lock(&sites->lock);
	*(worker->last ? &worker->last->next : &worker->first) = work;
	worker->last = work;
	pthread_cond_broadcast(&sites->work_there);
	pthread_mutex_unlock(&sites->lock);
	return TK_OK;
}

static enum tk_rc
add_work_everywhere(struct tk_sites *sites, const struct tk_site_work *model, const void *record, size_t len_bytes, struct tk_err *err)
{
	for (size_t i = 0; i < sites->count; i++) {
		enum tk_rc rc = add_work(sites, i, model, record, len_bytes, err);

		if (rc)
			return rc;
	}
	return TK_OK;
}

static bool
worker_working(const struct tk_site_worker *worker)
{
	return worker->report.phase == TK_SITE_OPENING || (worker->report.phase == TK_SITE_OPEN && (worker->busy || worker->first));
}

static bool
any_working(const struct tk_sites *sites)
{
	for (size_t i = 0; i < sites->count; i++)
		if (worker_working(&sites->workers[i]))
			return true;
	return false;
}

/* Waits for a change; false once the deadline has passed. Under the lock. */
static bool
wait_change(struct tk_sites *sites, int64_t deadline_ns)
{
	int64_t left = deadline_ns - tk_clock_mono_ns();
	struct timespec until;

	if (left <= 0)
		return false;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	left = left > 500000000 ? 500000000 : left;
	until.tv_sec += (until.tv_nsec + left) / 1000000000;
	until.tv_nsec = (until.tv_nsec + left) % 1000000000;
	(void)pthread_cond_timedwait(&sites->changed, &sites->lock, &until);
	return true;
}

void
tk_sites_wait(struct tk_sites *sites, bool (*done)(void *ctx), void *ctx, int64_t deadline_ns)
{
	bool more = true;

	while (more && !(done && done(ctx))) {
		pthread_mutex_lock(&sites->lock);
		more = any_working(sites) && wait_change(sites, deadline_ns);
		pthread_mutex_unlock(&sites->lock);
	}
}

static bool
nothing_opens(void *ctx)
{
	struct tk_sites *sites = ctx;
	bool opening = false;

	pthread_mutex_lock(&sites->lock);
	for (size_t i = 0; i < sites->count; i++)
		opening |= sites->workers[i].report.phase == TK_SITE_OPENING;
	pthread_mutex_unlock(&sites->lock);
	return !opening;
}

void
tk_sites_wait_open(struct tk_sites *sites, int64_t deadline_ns)
{
	tk_sites_wait(sites, nothing_opens, sites, deadline_ns);
}

bool
tk_sites_idle(struct tk_sites *sites)
{
	bool working;

	pthread_mutex_lock(&sites->lock);
	working = any_working(sites);
	pthread_mutex_unlock(&sites->lock);
	return !working;
}

void
tk_sites_report(struct tk_sites *sites, size_t site, struct tk_site_report *out)
{
	pthread_mutex_lock(&sites->lock);
	*out = sites->workers[site].report;
	pthread_mutex_unlock(&sites->lock);
}

struct idle_wait {
	struct tk_sites *sites;
	size_t site;
};

static bool
site_is_idle(void *ctx)
{
	const struct idle_wait *wait = ctx;
	bool working;

	pthread_mutex_lock(&wait->sites->lock);
	working = worker_working(&wait->sites->workers[wait->site]);
	pthread_mutex_unlock(&wait->sites->lock);
	return !working;
}

static bool
has_promised(const struct tk_site_worker *worker)
{
	return worker->report.voted || worker->report.has_receipt;
}

/* Under the lock. A promise that stands alone needs no second word: its giving is the answer that nothing came before. */
static bool
must_be_asked(const struct tk_sites *sites, const struct tk_site_worker *worker, bool promised, const struct tk_marks *all)
{
	size_t promises = 0;
	struct tk_err why;
	bool cover;

	if (worker->report.phase != TK_SITE_OPEN || (promised && (!has_promised(worker) || worker->report.told)))
		return false;
	for (size_t i = 0; i < sites->count; i++)
		promises += has_promised(&sites->workers[i]);
	return (promised && promises > 1) || tk_site_marks_cover(&worker->marks, all, &cover, &why) || !cover;
}

/* *list: the newest promise of every site. Sites that are to be asked are marked as `telling`; of the others, those that promised count as asked. */
static enum tk_rc
gather_all(struct tk_sites *sites, bool promised, struct tk_buf *list, size_t *count, struct tk_err *err)
{
	TK_AUTO(tk_marks_free) struct tk_marks *all = calloc(1, sizeof(*all));
	struct tk_err why;
	enum tk_rc rc;

	if (!all)
		return tk_err_set(err, TK_ENOMEM, "no memory for marks");
	pthread_mutex_lock(&sites->lock);
	for (size_t i = 0; i < sites->count; i++)
		/* A site that tells nonsense of others does not keep them from being told the rest. */
		if (tk_site_marks_gather(&sites->workers[i].marks, all, &why))
			tk_log_event(sites->opts.log, TK_LOG_WARN, "marks", "site=%s reason=\"%s\"", sites->opts.sites[i].name, why.text);
	rc = tk_marks_encode(all, list, err);
	*count = all->count;
	for (size_t i = 0; i < sites->count; i++) {
		struct tk_site_worker *worker = &sites->workers[i];

		worker->telling = !rc && all->count > 0 && must_be_asked(sites, worker, promised, all);
		worker->report.told |= !rc && promised && worker->report.phase == TK_SITE_OPEN && has_promised(worker) && !worker->telling;
	}
	pthread_mutex_unlock(&sites->lock);
	return rc;
}

static bool
all_told(void *ctx)
{
	struct tk_sites *sites = ctx;
	bool waiting = false;

	pthread_mutex_lock(&sites->lock);
	for (size_t i = 0; i < sites->count; i++)
		waiting |= sites->workers[i].telling && sites->workers[i].report.phase != TK_SITE_FAILED;
	pthread_mutex_unlock(&sites->lock);
	return !waiting;
}

enum tk_rc
tk_sites_tell(struct tk_sites *sites, bool promised, struct tk_err *err)
{
	struct tk_site_work model = {.kind = WORK_TELL};
	TK_AUTO(tk_buf_release) struct tk_buf list = {0};
	size_t count = 0;
	enum tk_rc rc = gather_all(sites, promised, &list, &count, err);

	for (size_t i = 0; i < sites->count && !rc && count > 0; i++) {
		struct tk_site_worker *worker = &sites->workers[i];
		bool wanted;

		pthread_mutex_lock(&sites->lock);
		wanted = worker->telling;
		pthread_mutex_unlock(&sites->lock);
		if (wanted)
			rc = add_work(sites, i, &model, list.data, list.len_bytes, err);
	}
	if (!rc)
		tk_sites_wait(sites, all_told, sites, INT64_MAX);
	return rc;
}

enum tk_rc
tk_sites_vote(struct tk_sites *sites, size_t site, const void *grant, size_t len_bytes, struct tk_err *err)
{
	struct tk_site_work model = {.kind = WORK_VOTE};
	struct idle_wait wait = {sites, site};
	struct tk_site_report report;
	enum tk_rc rc;

	pthread_mutex_lock(&sites->lock);
	sites->workers[site].report.voted = false;
	pthread_mutex_unlock(&sites->lock);
	if ((rc = add_work(sites, site, &model, grant, len_bytes, err)))
		return rc;
	tk_sites_wait(sites, site_is_idle, &wait, INT64_MAX);
	tk_sites_report(sites, site, &report);
	if (report.voted)
		return TK_OK;
	if (err)
		*err = report.failure;
	return report.failure.rc ? report.failure.rc : tk_err_set(err, TK_EUNREACH, "no vote");
}

enum tk_rc
tk_sites_catch_up(struct tk_sites *sites, uint64_t epoch, bool wait, struct tk_err *err)
{
	struct tk_site_work model = {.kind = WORK_CATCH_UP, .epoch = epoch};
	enum tk_rc rc = add_work_everywhere(sites, &model, NULL, 0, err);

	if (!rc && wait)
		tk_sites_wait(sites, NULL, NULL, INT64_MAX);
	return rc;
}

void
tk_sites_send_pack(struct tk_sites *sites, size_t item)
{
	struct tk_site_work model = {.kind = WORK_PACK, .item = item};
	struct tk_err err;

	/* What cannot be queued is found missing when the point is published, and sent then. */
	if (add_work_everywhere(sites, &model, NULL, 0, &err))
		tk_log_event(sites->opts.log, TK_LOG_WARN, "queue", "reason=\"%s\"", err.text);
}

void
tk_sites_flush(struct tk_sites *sites)
{
	pthread_mutex_lock(&sites->lock);
	for (size_t i = 0; i < sites->count; i++)
		sites->workers[i].flush_wanted = true;
	pthread_cond_broadcast(&sites->work_there);
	pthread_mutex_unlock(&sites->lock);
}

enum tk_rc
tk_sites_publish(struct tk_sites *sites, const struct tk_head *at, const void *record, size_t len_bytes, struct tk_err *err)
{
	struct tk_site_work model = {.kind = WORK_PUBLISH, .at = *at};

	pthread_mutex_lock(&sites->lock);
	for (size_t i = 0; i < sites->count; i++)
		sites->workers[i].report.has_receipt = false;
	pthread_mutex_unlock(&sites->lock);
	return add_work_everywhere(sites, &model, record, len_bytes, err);
}

void
tk_sites_stop(struct tk_sites *sites)
{
	atomic_store(&sites->stop, true);
	pthread_mutex_lock(&sites->lock);
	for (size_t i = 0; i < sites->count; i++) {
		const struct tk_site_worker *worker = &sites->workers[i];

		if (worker->store && (worker->busy || worker->report.phase == TK_SITE_OPENING) && worker->store->ops->abort)
			worker->store->ops->abort(worker->store);
	}
	pthread_mutex_unlock(&sites->lock);
}

static void
init_cond(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(cond, &attr);
	(void)pthread_condattr_destroy(&attr);
}

enum tk_rc
tk_sites_open(const struct tk_sites_opts *opts, struct tk_sites **out, struct tk_err *err)
{
	TK_AUTO(tk_sites_cleanup) struct tk_sites *sites = calloc(1, sizeof(*sites) + opts->count * sizeof(sites->workers[0]));

	if (!sites)
		return tk_err_set(err, TK_ENOMEM, "no memory for the sites");
	sites->opts = *opts;
	(void)pthread_mutex_init(&sites->lock, NULL);
	init_cond(&sites->work_there);
	init_cond(&sites->changed);
	sites->count = opts->count;
	for (size_t i = 0; i < opts->count; i++) {
		struct tk_site_worker *worker = &sites->workers[i];

		worker->sites = sites;
		worker->index = i;
		if (pthread_create(&worker->thread, NULL, tk_site_worker_main, worker))
			return tk_err_set(err, TK_ENOMEM, "cannot start a thread for site %s", opts->sites[i].name);
		worker->started = true;
	}
	*out = sites;
	sites = NULL;
	return TK_OK;
}

void
tk_sites_cleanup(struct tk_sites **slot)
{
	struct tk_sites *sites = *slot;

	if (!sites)
		return;
	*slot = NULL;
	pthread_mutex_lock(&sites->lock);
	sites->closing = true;
	pthread_cond_broadcast(&sites->work_there);
	pthread_mutex_unlock(&sites->lock);
	for (size_t i = 0; i < sites->count; i++) {
		if (sites->workers[i].started)
			pthread_join(sites->workers[i].thread, NULL);
		tk_buf_release(&sites->workers[i].report.vote);
		tk_site_marks_release(&sites->workers[i].marks);
		tk_site_packs_release(&sites->workers[i].packs);
	}
	(void)pthread_cond_destroy(&sites->work_there);
	(void)pthread_cond_destroy(&sites->changed);
	(void)pthread_mutex_destroy(&sites->lock);
	free(sites);
}
