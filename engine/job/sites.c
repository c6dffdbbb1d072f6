#include "engine/job/sites.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/crypto/hash.h"
#include "engine/fsio/openat.h"
#include "engine/job/site_marks.h"
#include "engine/job/site_packs.h"

#define BEHIND_TEXT "its vault is older than a receipt or vote it gave: it serves reads only until it is re-admitted"

enum work_kind { WORK_TELL, WORK_VOTE, WORK_CATCH_UP, WORK_PACK, WORK_PUBLISH };

struct work {
	enum work_kind kind;
	struct work *next;
	size_t item;                          /* of the stock */
	uint64_t epoch;
	struct tk_head at;
	struct tk_buf record;                 /* marks, grant or point */
};

struct worker {
	struct tk_sites *sites;
	size_t index;
	pthread_t thread;
	bool started;
	struct tk_store *store;               /* the worker's own; set under sites->lock, so that it can be aborted */
	struct tk_site_packs packs;           /* the worker's own */

	/* under sites->lock */
	struct work *first, *last;
	bool flush_wanted;                    /* once nothing else is to be done */
	bool busy;
	struct tk_site_report report;
	bool telling;                         /* waited for by tk_sites_tell */
	struct tk_site_marks marks;
};

struct tk_sites {
	struct tk_sites_opts opts;
	pthread_mutex_t lock;
	pthread_cond_t work_there;            /* for workers */
	pthread_cond_t changed;               /* for the run */
	bool closing;                         /* no more work comes */
	atomic_bool stop;
	size_t count;
	struct worker workers[];
};

static void
free_work(struct work *work)
{
	if (!work)
		return;
	tk_buf_release(&work->record);
	free(work);
}

/* ---- the workers ---- */

static void
worker_fail(struct worker *worker, const struct tk_err *err)
{
	struct tk_sites *sites = worker->sites;

	tk_log_event(sites->opts.log, TK_LOG_INFO, "site-failed", "site=%s reason=\"%s\"", sites->opts.sites[worker->index].name, err->text);
	pthread_mutex_lock(&sites->lock);
	worker->report.phase = TK_SITE_FAILED;
	worker->report.failure = *err;
	pthread_cond_broadcast(&sites->changed);
	pthread_mutex_unlock(&sites->lock);
	tk_stock_site_down(sites->opts.stock, worker->index, err);
}

static enum tk_rc
pin_site(struct worker *worker, const struct tk_store_state *state, struct tk_err *err)
{
	const char *name = worker->sites->opts.sites[worker->index].name;
	struct tk_journal *journal = worker->sites->opts.journal;
	uint8_t key[TK_KEY_BYTES];
	struct tk_id id;
	enum tk_rc rc = tk_journal_site_key(journal, name, &id, key, err);

	if (rc == TK_ENOENT)
		return tk_journal_pin_site(journal, name, &state->site_id, state->site_key, err);
	if (!rc && (memcmp(&id, &state->site_id, sizeof(id)) != 0 || memcmp(key, state->site_key, sizeof(key)) != 0))
		return tk_err_set(err, TK_EDENIED, "site %s signs with another key than before: if its vault was made anew, run `twinkeep site readmit %s`",
				  name, name);
	return rc;
}

/* A promise may be to this very home: from an election that a crash cut short. */
static bool
promised_to_us(struct worker *worker, const struct tk_store_state *state)
{
	const struct tk_sites_opts *opts = &worker->sites->opts;
	TK_AUTO(tk_buf_release) struct tk_buf record = {0};
	struct tk_grant grant;

	return state->promised_epoch > 0 &&
	       !worker->store->ops->get_record(worker->store, opts->domain, TK_RECORD_GRANT, state->promised_epoch, &record, NULL) &&
	       !tk_grant_decode(record.data, record.len_bytes, &grant, NULL) &&
	       memcmp(&grant.digest, &state->promised_grant, sizeof(grant.digest)) == 0 &&
	       memcmp(&grant.incarnation, opts->incarnation, sizeof(grant.incarnation)) == 0;
}

/* Sets or takes away the session; the one before is the caller's. */
static struct tk_store *
set_store(struct worker *worker, struct tk_store *store)
{
	struct tk_store *before;

	pthread_mutex_lock(&worker->sites->lock);
	before = worker->store;
	worker->store = store;
	pthread_mutex_unlock(&worker->sites->lock);
	return before;
}

static enum tk_rc
worker_open(struct worker *worker, struct tk_store_state *state, bool *own_promise, struct tk_err *err)
{
	struct tk_sites *sites = worker->sites;
	const struct tk_site *site = &sites->opts.sites[worker->index];
	struct tk_site_marks marks = {0};
	struct tk_store *store = NULL;
	struct tk_err why;
	enum tk_rc rc = site->open(site, &store, err);

	if (rc)
		return rc;
	(void)set_store(worker, store);
	rc = tk_site_meet(store, sites->opts.domain, sites->opts.journal, site->name, &marks, state, err);
	pthread_mutex_lock(&sites->lock);
	worker->marks = marks;
	pthread_mutex_unlock(&sites->lock);
	if (rc || (rc = pin_site(worker, state, err)))
		return rc;
	if (state->read_only)
		return tk_err_set(err, TK_EBEHIND, BEHIND_TEXT);
	*own_promise = promised_to_us(worker, state);
	if (!state->domain_known &&
	    (rc = worker->store->ops->put_genesis(worker->store, sites->opts.genesis->data, sites->opts.genesis->len_bytes, err)))
		return rc;
	/* Without it the data is as safe as before: only `recover` from this site alone would not work yet. */
	if (sites->opts.prepare && sites->opts.prepare(sites->opts.prepare_ctx, site, worker->store, &why))
		tk_log_event(sites->opts.log, TK_LOG_WARN, "recovery-data", "site=%s reason=\"%s\"", site->name, why.text);
	return TK_OK;
}

/* From now on the site's newest promise is this one. */
static enum tk_rc
keep_mark(struct worker *worker, const struct tk_buf *record, struct tk_err *err)
{
	enum tk_rc rc;

	pthread_mutex_lock(&worker->sites->lock);
	rc = tk_site_marks_keep(&worker->marks, record, err);
	worker->report.told = false;
	pthread_mutex_unlock(&worker->sites->lock);
	return rc;
}

/* What a site promised before it was set back it does not stand by any more. */
static enum tk_rc
do_tell(struct worker *worker, struct work *work, struct tk_err *err)
{
	struct tk_store_state state;
	enum tk_rc rc = worker->store->ops->state(worker->store, worker->sites->opts.domain, &work->record, &state, err);

	if (!rc && (state.read_only || memcmp(&state.vault_incarnation, &worker->report.state.vault_incarnation, sizeof(state.vault_incarnation)) != 0))
		rc = tk_err_set(err, TK_EBEHIND, BEHIND_TEXT);
	pthread_mutex_lock(&worker->sites->lock);
	worker->report.told = !rc;
	worker->telling = false;
	if (rc)
		worker->report.has_receipt = worker->report.voted = false;
	pthread_mutex_unlock(&worker->sites->lock);
	return rc;
}

static enum tk_rc
do_vote(struct worker *worker, struct work *work, struct tk_err *err)
{
	const struct tk_sites_opts *opts = &worker->sites->opts;
	struct tk_buf vote = {0};
	enum tk_rc rc = worker->store->ops->vote(worker->store, work->record.data, work->record.len_bytes, &vote, err);

	if (!rc)
		rc = tk_site_journal_vote(opts->journal, opts->sites[worker->index].name, worker->report.state.site_key, &vote, err);
	if (!rc)
		rc = keep_mark(worker, &vote, err);

	pthread_mutex_lock(&worker->sites->lock);
	if (rc) {
		worker->report.failure = *err;
	} else {
		tk_buf_release(&worker->report.vote);
		worker->report.vote = vote;
		worker->report.voted = true;
	}
	pthread_mutex_unlock(&worker->sites->lock);
	if (rc)
		tk_buf_release(&vote);
	/* A refusal is an answer, not a failure of the site. */
	return rc == TK_EUNREACH || rc == TK_ETIMEOUT || rc == TK_EPROTO ? rc : TK_OK;
}

static struct tk_site_publish
publish_request(struct worker *worker)
{
	struct tk_sites *sites = worker->sites;

	return (struct tk_site_publish){.sites = sites->opts.sites, .site_count = sites->opts.count, .self = worker->index, .store = worker->store,
					.domain = sites->opts.domain, .journal = sites->opts.journal, .spool = sites->opts.spool,
					.stock = sites->opts.stock, .stop = &sites->stop};
}

static enum tk_rc
do_publish(struct worker *worker, struct work *work, struct tk_err *err)
{
	struct tk_site_publish request = publish_request(worker);
	TK_AUTO(tk_buf_release) struct tk_buf record = {0};
	struct tk_site_receipt receipt;
	enum tk_rc rc = tk_site_publish(&request, &work->at, work->record.data, work->record.len_bytes, &record, &receipt, err);

	if (!rc)
		rc = keep_mark(worker, &record, err);

	tk_site_publish_release(&request);
	pthread_mutex_lock(&worker->sites->lock);
	worker->report.sent_bytes += request.sent_bytes;
	if (!rc) {
		worker->report.has_receipt = true;
		worker->report.receipt_digest = receipt.digest;
		worker->report.receipt_ns = receipt.time_ns;
	}
	pthread_mutex_unlock(&worker->sites->lock);
	return rc;
}

static enum tk_rc
do_catch_up(struct worker *worker, struct work *work, struct tk_err *err)
{
	struct tk_journal *journal = worker->sites->opts.journal;
	struct tk_site_publish request = publish_request(worker);
	TK_AUTO(tk_buf_release) struct tk_buf record = {0};
	TK_AUTO(tk_buf_release) struct tk_buf given = {0};
	struct tk_journal_point *points = NULL;
	struct tk_site_receipt receipt;
	size_t count = 0, done = 0;
	enum tk_rc rc = tk_journal_points(journal, worker->sites->opts.domain, &points, &count, err);

	for (size_t i = 0; i < count && !rc && !atomic_load(&worker->sites->stop); i++) {
		if (points[i].at.epoch != work->epoch || points[i].state == TK_POINT_ABANDONED ||
		    tk_head_compare(&points[i].at, &worker->report.state.head) <= 0)
			continue;
		tk_buf_clear(&record);
		if ((rc = tk_journal_get_point(journal, worker->sites->opts.domain, &points[i].at, &record, err)))
			break;
		rc = tk_site_publish(&request, &points[i].at, record.data, record.len_bytes, &given, &receipt, err);
		/* An older point whose packs nobody has any more, or has whole, does not keep the site from the newer ones. */
		if (rc == TK_EMISSING || rc == TK_ECORRUPT)
			rc = TK_OK;
		else if (!rc && !(rc = keep_mark(worker, &given, err)))
			done++;
	}
	free(points);
	tk_site_publish_release(&request);
	pthread_mutex_lock(&worker->sites->lock);
	worker->report.caught_up += done;
	worker->report.sent_bytes += request.sent_bytes;
	pthread_mutex_unlock(&worker->sites->lock);
	return rc;
}

static enum tk_rc
do_pack(struct worker *worker, struct work *work, struct tk_err *err)
{
	struct tk_site_publish request = publish_request(worker);
	enum tk_rc rc = tk_site_packs_send(&worker->packs, &request, work->item, err);

	pthread_mutex_lock(&worker->sites->lock);
	worker->report.sent_bytes += request.sent_bytes;
	pthread_mutex_unlock(&worker->sites->lock);
	return rc;
}

static enum tk_rc
do_flush(struct worker *worker, struct tk_err *err)
{
	struct tk_site_publish request = publish_request(worker);

	return tk_site_packs_flush(&worker->packs, &request, err);
}

static enum tk_rc
do_work(struct worker *worker, struct work *work, struct tk_err *err)
{
	switch (work->kind) {
	case WORK_TELL:
		return do_tell(worker, work, err);
	case WORK_VOTE:
		return do_vote(worker, work, err);
	case WORK_CATCH_UP:
		return do_catch_up(worker, work, err);
	case WORK_PACK:
		return do_pack(worker, work, err);
	case WORK_PUBLISH:
		return do_publish(worker, work, err);
	}
	return tk_err_set(err, TK_EINVAL, "unknown work");
}

/* Waits for something to do; *work NULL: a flush. False: no more comes. */
static bool
take_work(struct worker *worker, struct work **work)
{
	struct tk_sites *sites = worker->sites;

	pthread_mutex_lock(&sites->lock);
	worker->busy = false;
	pthread_cond_broadcast(&sites->changed);
	while (!worker->first && !worker->flush_wanted && !sites->closing)
		pthread_cond_wait(&sites->work_there, &sites->lock);
	*work = worker->first;
	worker->busy = worker->first || worker->flush_wanted;
	if (*work) {
		worker->first = (*work)->next;
		if (!worker->first)
			worker->last = NULL;
	} else {
		worker->flush_wanted = false;
	}
	pthread_mutex_unlock(&sites->lock);
	return worker->busy;
}

static void *
worker_main(void *arg)
{
	struct worker *worker = arg;
	struct tk_store *store;
	struct tk_store_state state;
	struct work *work;
	struct tk_err err;
	bool alive, own_promise = false;

	memset(&state, 0, sizeof(state));
	alive = worker_open(worker, &state, &own_promise, &err) == TK_OK;
	if (alive)
		tk_stock_site_up(worker->sites->opts.stock, worker->index);
	pthread_mutex_lock(&worker->sites->lock);
	worker->report.state = state;
	worker->report.own_promise = own_promise;
	if (alive)
		worker->report.phase = TK_SITE_OPEN;
	pthread_mutex_unlock(&worker->sites->lock);
	if (!alive)
		worker_fail(worker, &err);
	/* A failed worker goes on taking its work, so that nobody waits for it. */
	while (take_work(worker, &work)) {
		if (alive && !atomic_load(&worker->sites->stop) && (work ? do_work(worker, work, &err) : do_flush(worker, &err))) {
			alive = false;
			worker_fail(worker, &err);
		}
		free_work(work);
	}
	store = set_store(worker, NULL);
	tk_store_cleanup(&store);
	return NULL;
}

/* ---- the run ---- */

static enum tk_rc
add_work(struct tk_sites *sites, size_t site, const struct work *model, const void *record, size_t len_bytes, struct tk_err *err)
{
	struct worker *worker = &sites->workers[site];
	struct work *work = malloc(sizeof(*work));
	enum tk_rc rc;

	if (!work)
		return tk_err_set(err, TK_ENOMEM, "no memory for a site's work");
	*work = *model;
	work->next = NULL;
	tk_buf_init(&work->record, 0);
	if ((rc = tk_buf_put(&work->record, record, len_bytes, err))) {
		free_work(work);
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
add_work_everywhere(struct tk_sites *sites, const struct work *model, const void *record, size_t len_bytes, struct tk_err *err)
{
	for (size_t i = 0; i < sites->count; i++) {
		enum tk_rc rc = add_work(sites, i, model, record, len_bytes, err);

		if (rc)
			return rc;
	}
	return TK_OK;
}

static bool
worker_working(const struct worker *worker)
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

static enum tk_rc
gather_all(struct tk_sites *sites, struct tk_buf *list, size_t *count, struct tk_err *err)
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
	struct work model = {.kind = WORK_TELL};
	TK_AUTO(tk_buf_release) struct tk_buf list = {0};
	size_t count = 0;
	enum tk_rc rc = gather_all(sites, &list, &count, err);

	for (size_t i = 0; i < sites->count && !rc && count > 0; i++) {
		struct worker *worker = &sites->workers[i];
		bool wanted;

		pthread_mutex_lock(&sites->lock);
		wanted = worker->report.phase == TK_SITE_OPEN && (!promised || ((worker->report.voted || worker->report.has_receipt) && !worker->report.told));
		worker->telling = wanted;
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
	struct work model = {.kind = WORK_VOTE};
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
	struct work model = {.kind = WORK_CATCH_UP, .epoch = epoch};
	enum tk_rc rc = add_work_everywhere(sites, &model, NULL, 0, err);

	if (!rc && wait)
		tk_sites_wait(sites, NULL, NULL, INT64_MAX);
	return rc;
}

void
tk_sites_send_pack(struct tk_sites *sites, size_t item)
{
	struct work model = {.kind = WORK_PACK, .item = item};
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
	struct work model = {.kind = WORK_PUBLISH, .at = *at};

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
		const struct worker *worker = &sites->workers[i];

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
		struct worker *worker = &sites->workers[i];

		worker->sites = sites;
		worker->index = i;
		if (pthread_create(&worker->thread, NULL, worker_main, worker))
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
