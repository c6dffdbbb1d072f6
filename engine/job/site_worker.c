#include "engine/job/site_worker.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/clock.h"

/* Between attempts to reach a site again: doubled each time. */
#define PAUSE_FIRST_MS 100
#define PAUSE_MAX_MS 8000
#define LOOK_MS 50
#define LOCK_WAIT_MS 2000

#define BEHIND_TEXT "its vault is older than a receipt or vote it gave: it promises nothing until it is re-admitted"

void
tk_site_work_free(struct tk_site_work *work)
{
	if (!work)
		return;
	tk_buf_release(&work->record);
	free(work);
}

static void
worker_fail(struct tk_site_worker *worker, const struct tk_err *err)
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
pin_site(struct tk_site_worker *worker, const struct tk_store_state *state, struct tk_err *err)
{
	const char *name = worker->sites->opts.sites[worker->index].name;
	struct tk_journal *journal = worker->sites->opts.journal;
	uint8_t key[TK_KEY_BYTES];
	struct tk_id id;
	enum tk_rc rc = tk_journal_site_key(journal, name, &id, key, err);

	if (rc == TK_ENOENT)
		return tk_journal_pin_site(journal, name, &state->site_id, state->site_key, err);
	if (!rc && (memcmp(&id, &state->site_id, sizeof(id)) != 0 || memcmp(key, state->site_key, sizeof(key)) != 0))
		return tk_err_set(err, TK_EDENIED, "site %s signs with another key than before; if its vault was made anew, run `twinkeep site readmit %s`",
				  name, name);
	return rc;
}

/* A promise may be to this very home: from an election that a crash cut short. */
static bool
promised_to_us(struct tk_site_worker *worker, const struct tk_store_state *state)
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
set_store(struct tk_site_worker *worker, struct tk_store *store)
{
	struct tk_store *before;

	pthread_mutex_lock(&worker->sites->lock);
	before = worker->store;
	worker->store = store;
	pthread_mutex_unlock(&worker->sites->lock);
	return before;
}

/* What will be asked once the session is open: by then the answers are there. The site's promise is, as a rule, the epoch that the journal knows. */
static void
ask_ahead(struct tk_site_worker *worker, struct tk_store *store)
{
	const struct tk_sites_opts *opts = &worker->sites->opts;
	struct tk_store_ask grant = {.kind = TK_ASK_RECORD, .id = opts->domain, .record = TK_RECORD_GRANT};
	struct tk_epoch epoch = {0};

	if (!tk_journal_get_epoch(opts->journal, opts->domain, &epoch, NULL)) {
		grant.number = epoch.epoch;
		tk_store_ahead(store, &grant, 1);
	}
	tk_epoch_release(&epoch);
	if (opts->prepare_ahead)
		opts->prepare_ahead(opts->prepare_ctx, &opts->sites[worker->index], store);
}

/* A session with a site that is what it was, and has forgotten nothing. */
static enum tk_rc
worker_meet(struct tk_site_worker *worker, bool first, struct tk_store_state *state, struct tk_err *err)
{
	struct tk_sites *sites = worker->sites;
	const struct tk_site *site = &sites->opts.sites[worker->index];
	struct tk_site_marks marks = {0};
	struct tk_store *store = NULL;
	enum tk_rc rc = site->open(site, &store, err);

	if (rc)
		return rc;
	(void)set_store(worker, store);
	if (first)
		ask_ahead(worker, store);
	rc = tk_site_meet(store, sites->opts.domain, sites->opts.journal, site->name, &marks, state, err);
	pthread_mutex_lock(&sites->lock);
	tk_site_marks_release(&worker->marks);
	worker->marks = marks;
	pthread_mutex_unlock(&sites->lock);
	if (rc || (rc = pin_site(worker, state, err)))
		return rc;
	return state->read_only ? tk_err_set(err, TK_EBEHIND, BEHIND_TEXT) : TK_OK;
}

static enum tk_rc
worker_open(struct tk_site_worker *worker, struct tk_store_state *state, bool *own_promise, struct tk_err *err)
{
	struct tk_sites *sites = worker->sites;
	const struct tk_site *site = &sites->opts.sites[worker->index];
	const struct tk_buf *genesis = sites->opts.genesis;
	const struct tk_store_ask ask = {.kind = TK_ASK_GENESIS, .data = genesis->data, .len_bytes = genesis->len_bytes};
	struct tk_err why;
	enum tk_rc rc = worker_meet(worker, true, state, err);

	if (rc)
		return rc;
	*own_promise = promised_to_us(worker, state);
	if (!state->domain_known)
		tk_store_ahead(worker->store, &ask, 1);
	/* Without it the data is as safe as before: only `recover` from this site alone would not work yet. */
	if (sites->opts.prepare && sites->opts.prepare(sites->opts.prepare_ctx, site, worker->store, &why))
		tk_log_event(sites->opts.log, TK_LOG_WARN, "recovery-data", "site=%s reason=\"%s\"", site->name, why.text);
	return state->domain_known ? TK_OK : worker->store->ops->put_genesis(worker->store, genesis->data, genesis->len_bytes, err);
}

/* From now on the site's newest promise is this one. */
static enum tk_rc
keep_mark(struct tk_site_worker *worker, const struct tk_buf *record, struct tk_err *err)
{
	enum tk_rc rc;

	pthread_mutex_lock(&worker->sites->lock);
	rc = tk_site_marks_keep(&worker->marks, record, err);
	worker->report.told = false;
	pthread_mutex_unlock(&worker->sites->lock);
	return rc;
}

/* What a site promised before it was set back it does not stand by any more, nor counts what it cannot be asked about. */
static void
end_tell(struct tk_site_worker *worker, bool told)
{
	pthread_mutex_lock(&worker->sites->lock);
	worker->report.told = told;
	worker->telling = false;
	if (!told)
		worker->report.has_receipt = worker->report.voted = false;
	pthread_mutex_unlock(&worker->sites->lock);
}

static enum tk_rc
do_tell(struct tk_site_worker *worker, struct tk_site_work *work, struct tk_err *err)
{
	struct tk_store_state state;
	enum tk_rc rc = worker->store->ops->state(worker->store, worker->sites->opts.domain, &work->record, &state, err);

	if (!rc && (state.read_only || memcmp(&state.vault_incarnation, &worker->report.state.vault_incarnation, sizeof(state.vault_incarnation)) != 0))
		rc = tk_err_set(err, TK_EBEHIND, BEHIND_TEXT);
	if (rc)
		return rc;
	pthread_mutex_lock(&worker->sites->lock);
	rc = tk_site_marks_told(&worker->marks, &work->record, err);
	pthread_mutex_unlock(&worker->sites->lock);
	if (!rc)
		end_tell(worker, true);
	return rc;
}

static enum tk_rc
do_vote(struct tk_site_worker *worker, struct tk_site_work *work, struct tk_err *err)
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
publish_request(struct tk_site_worker *worker)
{
	struct tk_sites *sites = worker->sites;

	return (struct tk_site_publish){.sites = sites->opts.sites, .site_count = sites->opts.count, .self = worker->index, .store = worker->store,
					.domain = sites->opts.domain, .journal = sites->opts.journal, .spool = sites->opts.spool,
					.stock = sites->opts.stock, .stop = &sites->stop};
}

static enum tk_rc
do_publish(struct tk_site_worker *worker, struct tk_site_work *work, struct tk_err *err)
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
do_catch_up(struct tk_site_worker *worker, struct tk_site_work *work, struct tk_err *err)
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
		    tk_head_compare(&points[i].at, &worker->caught_up) <= 0)
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
		if (!rc)
			worker->caught_up = points[i].at;
	}
	free(points);
	tk_site_publish_release(&request);
	pthread_mutex_lock(&worker->sites->lock);
	worker->report.caught_up += done;
	worker->report.sent_bytes += request.sent_bytes;
	pthread_mutex_unlock(&worker->sites->lock);
	return rc;
}

static void
add_sent(struct tk_site_worker *worker, uint64_t bytes)
{
	pthread_mutex_lock(&worker->sites->lock);
	worker->report.sent_bytes += bytes;
	pthread_mutex_unlock(&worker->sites->lock);
}

static enum tk_rc
do_pack(struct tk_site_worker *worker, struct tk_site_work *work, struct tk_err *err)
{
	struct tk_site_publish request = publish_request(worker);
	enum tk_rc rc = tk_site_packs_send(&worker->packs, &request, work->item, err);

	add_sent(worker, request.sent_bytes);
	return rc;
}

static enum tk_rc
send_again(struct tk_site_worker *worker, struct tk_err *err)
{
	struct tk_site_publish request = publish_request(worker);
	enum tk_rc rc = tk_site_packs_send_again(&worker->packs, &request, err);

	add_sent(worker, request.sent_bytes);
	return rc;
}

static enum tk_rc
do_flush(struct tk_site_worker *worker, struct tk_err *err)
{
	struct tk_site_publish request = publish_request(worker);

	return tk_site_packs_flush(&worker->packs, &request, err);
}

/* work NULL: a flush. All of it may be done twice: a session may break after the site did it, and before it could say so. */
static enum tk_rc
do_work(struct tk_site_worker *worker, struct tk_site_work *work, struct tk_err *err)
{
	if (!work)
		return do_flush(worker, err);
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

/* ---- a session that broke ---- */

/* Nobody waits for the site any more. */
static bool
is_over(struct tk_site_worker *worker)
{
	bool closing;

	pthread_mutex_lock(&worker->sites->lock);
	closing = worker->sites->closing;
	pthread_mutex_unlock(&worker->sites->lock);
	return closing || atomic_load(&worker->sites->stop);
}

/* False: it is over. */
static bool
pause_for(struct tk_site_worker *worker, int64_t pause_ms)
{
	const struct timespec look = {0, LOOK_MS * 1000000L};
	int64_t until_ns = tk_clock_mono_ns() + pause_ms * 1000000;

	while (!is_over(worker) && tk_clock_mono_ns() < until_ns)
		(void)nanosleep(&look, NULL);
	return !is_over(worker);
}

static enum tk_rc
reopen(struct tk_site_worker *worker, struct tk_err *err)
{
	struct tk_store *before = set_store(worker, NULL);
	struct tk_store_state state;
	enum tk_rc rc;

	tk_store_cleanup(&before);
	if ((rc = worker_meet(worker, false, &state, err)))
		return rc;
	if (memcmp(&state.vault_incarnation, &worker->report.state.vault_incarnation, sizeof(state.vault_incarnation)) != 0)
		return tk_err_set(err, TK_EBEHIND, BEHIND_TEXT);
	return is_over(worker) ? tk_err_set(err, TK_ECANCELLED, "interrupted") : send_again(worker, err);
}

/* A daemon that is started anew, or a network that was away for a moment, costs the run no site. One that does not answer in time is not tried again: it hangs. */
static enum tk_rc
work_through(struct tk_site_worker *worker, struct tk_site_work *work, struct tk_err *err)
{
	const struct tk_sites_opts *opts = &worker->sites->opts;
	enum tk_rc rc = do_work(worker, work, err);
	int64_t give_up_ns = tk_clock_mono_ns() + opts->reconnect_ms * 1000000, pause_ms = PAUSE_FIRST_MS;

	while (rc == TK_EUNREACH && tk_clock_mono_ns() < give_up_ns && pause_for(worker, pause_ms)) {
		tk_log_event(opts->log, TK_LOG_INFO, "reconnect", "site=%s reason=\"%s\"", opts->sites[worker->index].name, err->text);
		pause_ms = pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : pause_ms * 2;
		if (!(rc = reopen(worker, err)))
			rc = do_work(worker, work, err);
	}
	return rc;
}

/* A vault in a directory has one writer: a run that is at its end, or of another dataset, gives it back soon. */
static enum tk_rc
open_in_turn(struct tk_site_worker *worker, struct tk_store_state *state, bool *own_promise, struct tk_err *err)
{
	int64_t give_up_ns = tk_clock_mono_ns() + LOCK_WAIT_MS * 1000000;
	enum tk_rc rc;

	do
		rc = worker_open(worker, state, own_promise, err);
	while (rc == TK_ELOCKED && tk_clock_mono_ns() < give_up_ns && pause_for(worker, PAUSE_FIRST_MS));
	return rc;
}

/* Waits for something to do; *work NULL: a flush. False: no more comes. */
static bool
take_work(struct tk_site_worker *worker, struct tk_site_work **work)
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

void *
tk_site_worker_main(void *arg)
{
	struct tk_site_worker *worker = arg;
	struct tk_store *store;
	struct tk_store_state state;
	struct tk_site_work *work;
	struct tk_err err;
	bool alive, own_promise = false;

	memset(&state, 0, sizeof(state));
	alive = open_in_turn(worker, &state, &own_promise, &err) == TK_OK;
	if (alive)
		tk_stock_site_up(worker->sites->opts.stock, worker->index);
	pthread_mutex_lock(&worker->sites->lock);
	worker->report.state = state;
	worker->caught_up = state.head;
	worker->report.own_promise = own_promise;
	if (alive)
		worker->report.phase = TK_SITE_OPEN;
	pthread_mutex_unlock(&worker->sites->lock);
	if (!alive)
		worker_fail(worker, &err);
	/* A failed worker goes on taking its work, so that nobody waits for it. */
	while (take_work(worker, &work)) {
		if (alive && !atomic_load(&worker->sites->stop) && work_through(worker, work, &err)) {
			alive = false;
			if (work && work->kind == WORK_TELL)
				end_tell(worker, false);
			worker_fail(worker, &err);
		}
		tk_site_work_free(work);
	}
	store = set_store(worker, NULL);
	tk_store_cleanup(&store);
	return NULL;
}
