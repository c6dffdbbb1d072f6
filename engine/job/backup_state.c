#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"
#include "engine/fsio/rmtree.h"
#include "engine/job/backup_core.h"
#include "engine/job/rebuild.h"

static enum tk_rc
take_lock(struct tk_backup *run, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int dirfd = -1;
	char name[64] = "lock-";
	enum tk_rc rc;

	if ((rc = tk_mkdir_p_at(AT_FDCWD, run->opts->state_dir, 0700, err)))
		return rc;
	dirfd = open(run->opts->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return tk_err_errno(err, TK_EIO, "state directory %s", run->opts->state_dir);
	tk_hex_encode(run->opts->domain.b, sizeof(run->opts->domain.b), name + strlen(name));
	rc = tk_lock_file(dirfd, name, &run->lock_fd, err);
	return rc ? tk_err_context(err, rc, "another run of dataset %s", run->opts->dataset_name) : TK_OK;
}

/* A journal that cannot be read is set aside and counts as lost: that costs a new epoch. */
static enum tk_rc
open_journal(struct tk_backup *run, struct tk_err *err)
{
	const char *dir = run->opts->state_dir;
	TK_AUTO(tk_fd_cleanup) int dirfd = -1;
	enum tk_rc rc = tk_journal_open(dir, &run->journal, err);

	if (rc != TK_ECORRUPT)
		return rc;
	tk_log_event(run->opts->log, TK_LOG_WARN, "journal", "damaged=\"%s\"", err->text);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0 || renameat(dirfd, "catalog.db", dirfd, "catalog.db.damaged") < 0)
		return tk_err_errno(err, TK_EIO, "setting the damaged journal aside");
	(void)unlinkat(dirfd, "catalog.db-wal", 0);
	(void)unlinkat(dirfd, "catalog.db-shm", 0);
	return tk_journal_open(dir, &run->journal, err);
}

static void
on_fetch_fault(void *ctx, const char *site, const struct tk_err *err)
{
	const struct tk_backup *run = ctx;

	/* A site that is silent, or shuts this source out, is told of by what it has no receipt for; one that lacks something is brought it in this run. */
	bool told = err->rc == TK_EUNREACH || err->rc == TK_ETIMEOUT || err->rc == TK_EDENIED || err->rc == TK_ENOENT;

	tk_log_event(run->opts->log, told ? TK_LOG_INFO : TK_LOG_WARN, "read", "site=%s reason=\"%s\"", site, err->text);
}

enum tk_rc
tk_run_open_state(struct tk_backup *run, struct tk_err *err)
{
	const struct tk_backup_opts *opts = run->opts;
	struct tk_fetch_opts fetch = {.sites = opts->sites, .site_count = opts->site_count, .keys = run->keys, .cache_bytes = 8u << 20,
				      .on_fault = on_fetch_fault, .ctx = run};
	enum tk_rc rc;

	if ((rc = take_lock(run, err)) || (rc = tk_packtab_new(&run->packs, err)) || (rc = open_journal(run, err)) ||
	    (rc = tk_spool_open(opts->state_dir, &opts->domain, &run->spool, err)) ||
	    (rc = tk_catalog_open(opts->state_dir, &opts->domain, opts->ring->suite, run->packs, &run->catalog, err)) ||
	    (rc = tk_localstore_open(opts->state_dir, &opts->domain, opts->ring->suite, &run->local, err)) ||
	    (rc = tk_tagkey_open(opts->state_dir, &opts->domain, run->tag_key, err)) ||
	    (rc = tk_damaged_read(opts->state_dir, &opts->domain, &run->damaged, err)) ||
	    (rc = tk_dedup_open(opts->state_dir, &opts->domain, opts->ring->suite, run->packs, &run->dedup, &run->dedup_fresh, err)))
		return rc;
	fetch.packs = run->packs;
	return tk_fetch_new(&fetch, &run->fetch, err);
}

/* ---- points that no receipt is known of ---- */

static bool
held_by_a_site(struct tk_backup *run, const struct tk_head *at)
{
	struct tk_journal_receipt *receipts = NULL;
	size_t count = 0;
	bool held = false;

	if (tk_journal_receipts(run->journal, &run->opts->domain, &receipts, &count, NULL))
		return false;
	for (size_t i = 0; i < count; i++)
		held |= tk_head_compare(&receipts[i].at, at) == 0;
	free(receipts);
	return held;
}

/* The index of chunks may name what no site has any more, which would spoil the next point like this one: it is made anew from what sites do have. */
static enum tk_rc
forget_dedup(struct tk_backup *run, struct tk_err *err)
{
	const struct tk_backup_opts *opts = run->opts;
	TK_AUTO(tk_fd_cleanup) int dirfd = open(opts->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char hex[2 * TK_ID_BYTES + 1], path[sizeof(hex) + 32];
	enum tk_rc rc;

	if (dirfd < 0)
		return tk_err_errno(err, TK_EIO, "state directory %s", opts->state_dir);
	tk_hex_encode(opts->domain.b, sizeof(opts->domain.b), hex);
	(void)snprintf(path, sizeof(path), "domains/%s/dedup", hex);
	tk_dedup_cleanup(&run->dedup);
	if ((rc = tk_rmtree_at(dirfd, path, err)))
		return rc;
	return tk_dedup_open(opts->state_dir, &opts->domain, opts->ring->suite, run->packs, &run->dedup, &run->dedup_fresh, err);
}

/* Is any site still there, after it was offered the point? If so its refusal counts. */
static enum tk_rc
some_site_answered(struct tk_backup *run, struct tk_err *err)
{
	struct tk_site_report report;
	struct tk_err why;

	(void)tk_err_set(&why, TK_EUNREACH, "no site is reachable");
	for (size_t i = 0; i < run->opts->site_count; i++) {
		tk_sites_report(run->sites, i, &report);
		if (report.phase == TK_SITE_OPEN)
			return TK_OK;
		if (report.failure.rc)
			why = report.failure;
	}
	return tk_err_set(err, why.rc, "the point of an interrupted run waits to be sent: %s", why.text);
}

/* A journaled point is sent again, byte for byte; where no site can take it any more it ends as abandoned, and its sequence stays used. While no site answers
 * it stays journaled. */
static enum tk_rc
settle_point(struct tk_backup *run, const struct tk_journal_point *point, struct tk_err *err)
{
	enum tk_rc rc;

	if (held_by_a_site(run, &point->at)) {
		if ((rc = tk_journal_set_state(run->journal, &run->opts->domain, &point->at, TK_POINT_STORED, err)))
			return rc;
		rc = tk_catalog_advance(run->catalog, &point->at, err);
		return rc == TK_ENOENT ? TK_OK : rc;
	}
	if ((rc = some_site_answered(run, err)))
		return rc;
	tk_log_event(run->opts->log, TK_LOG_WARN, "abandoned", "sequence=%llu", (unsigned long long)point->at.sequence);
	if ((rc = tk_journal_set_state(run->journal, &run->opts->domain, &point->at, TK_POINT_ABANDONED, err)) ||
	    (rc = tk_catalog_drop_next(run->catalog, err)))
		return rc;
	return forget_dedup(run, err);
}

static enum tk_rc
settle_points(struct tk_backup *run, struct tk_err *err)
{
	struct tk_journal_point *points = NULL;
	size_t count = 0;
	bool waited = false;
	enum tk_rc rc = tk_journal_points(run->journal, &run->opts->domain, &points, &count, err);

	for (size_t i = 0; i < count && !rc; i++) {
		if (points[i].state != TK_POINT_JOURNALED) {
			/* A crash may have come between the receipt and the moving of the pointer. */
			if (i + 1 == count && points[i].state == TK_POINT_STORED && (rc = tk_catalog_advance(run->catalog, &points[i].at, err)) == TK_ENOENT)
				rc = TK_OK;
			continue;
		}
		if (!waited)
			rc = tk_sites_catch_up(run->sites, run->verdict.epoch.epoch, true, err);
		waited = true;
		if (!rc)
			rc = settle_point(run, &points[i], err);
	}
	free(points);
	if (!rc && !waited)
		rc = tk_sites_catch_up(run->sites, run->verdict.epoch.epoch, false, err);
	return rc;
}

/* The epoch counts as opened only by a point that is stored: an opening that was abandoned with its point is told again. */
static enum tk_rc
settle_opening(struct tk_backup *run, struct tk_err *err)
{
	struct tk_journal_point *points = NULL;
	size_t count = 0;
	enum tk_rc rc = tk_journal_points(run->journal, &run->opts->domain, &points, &count, err);

	run->verdict.epoch.opened = false;
	for (size_t i = 0; i < count && !rc; i++)
		run->verdict.epoch.opened |= points[i].state == TK_POINT_STORED && points[i].at.epoch == run->verdict.epoch.epoch;
	free(points);
	return rc;
}

static enum tk_rc
heed_damage(struct tk_backup *run, struct tk_err *err)
{
	if (!tk_damaged_any_new(&run->damaged))
		return TK_OK;
	run->read_anew = true;
	return forget_dedup(run, err);
}

enum tk_rc
tk_run_settle_past(struct tk_backup *run, struct tk_err *err)
{
	enum tk_rc rc;

	if ((rc = settle_points(run, err)) || (rc = settle_opening(run, err)) || (rc = heed_damage(run, err)))
		return rc;
	return tk_run_adopt_leftovers(run, err);
}

/* ---- the catalog ---- */

/* The newest point that is known to be stored: the journal's, or the one adopted with the epoch. */
static enum tk_rc
newest_stored(struct tk_backup *run, struct tk_head *out, struct tk_err *err)
{
	struct tk_journal_point *points = NULL;
	size_t count = 0;
	enum tk_rc rc = tk_journal_points(run->journal, &run->opts->domain, &points, &count, err);

	*out = run->verdict.epoch.parent;
	for (size_t i = 0; i < count && !rc; i++)
		if (points[i].state == TK_POINT_STORED)
			*out = points[i].at;
	free(points);
	return rc;
}

struct head_call {
	const struct tk_id *domain;
	struct tk_head head;
};

static enum tk_rc
call_head(struct tk_store *store, void *arg, struct tk_err *err)
{
	struct head_call *call = arg;
	struct tk_store_state state;
	enum tk_rc rc = store->ops->state(store, call->domain, NULL, &state, err);

	call->head = state.head;
	return rc;
}

/* The head of a site as it was when its session began, or as it is now; epoch 0: none, or it is not in reach. */
static struct tk_head
head_of(struct tk_backup *run, size_t site, bool now)
{
	struct head_call call = {.domain = &run->opts->domain};
	struct tk_site_report report;
	struct tk_err err;

	tk_sites_report(run->sites, site, &report);
	if (report.phase == TK_SITE_OPEN && !now)
		return report.state.head;
	if (report.phase != TK_SITE_OPEN || tk_fetch_with_session(run->fetch, site, call_head, &call, &err))
		memset(&call.head, 0, sizeof(call.head));
	return call.head;
}

static struct tk_head
highest_head(struct tk_backup *run, bool now)
{
	struct tk_head highest = {0};

	for (size_t i = 0; i < run->opts->site_count; i++) {
		struct tk_head head = head_of(run, i, now);

		if (tk_head_compare(&head, &highest) > 0)
			highest = head;
	}
	return highest;
}

/*
 * What the next point builds on: the newest stored point, or, if no site in reach has it whole, what these do have. Sites that lack the last point restrict no run:
 * what they do not hold is read again and stored anew. Its parent is the newest stored point all the same.
 */
static enum tk_rc
choose_base(struct tk_backup *run, const struct tk_head *stored, struct tk_head *base, struct tk_err *err)
{
	struct tk_head highest = highest_head(run, false);

	*base = *stored;
	if (tk_head_compare(&highest, stored) >= 0)
		return TK_OK;
	/* They may be getting it just now. */
	tk_sites_wait(run->sites, NULL, NULL, INT64_MAX);
	highest = highest_head(run, true);
	if (tk_head_compare(&highest, stored) >= 0)
		return TK_OK;
	*base = highest;
	tk_log_event(run->opts->log, TK_LOG_WARN, "base", "lost_sequence=%llu sequence=%llu", (unsigned long long)stored->sequence,
		     (unsigned long long)base->sequence);
	return forget_dedup(run, err);
}

/* The catalog's current point is to be `base`. What no site has any more is no reason to have no backups from now on: without it all files are read. */
static enum tk_rc
settle_current(struct tk_backup *run, const struct tk_head *base, struct tk_err *err)
{
	enum tk_rc rc = tk_catalog_current(run->catalog, &run->current, err);

	if (rc && rc != TK_ENOENT && rc != TK_ECORRUPT)
		return rc;
	run->has_current = !rc && !run->distrust_catalog && base->epoch && memcmp(&run->current.at, base, sizeof(*base)) == 0;
	if (!base->epoch || run->has_current)
		return TK_OK;
	run->result->rebuilt = true;
	tk_log_event(run->opts->log, TK_LOG_INFO, "rebuild", "sequence=%llu", (unsigned long long)base->sequence);
	rc = tk_rebuild_catalog(run->fetch, run->catalog, run->packs, &run->opts->domain, run->keys, base, err);
	if (tk_rebuild_is_gone(rc)) {
		tk_log_event(run->opts->log, TK_LOG_WARN, "read-anew", "reason=\"%s\"", err->text);
		return TK_OK;
	}
	if (rc || (rc = tk_catalog_current(run->catalog, &run->current, err)))
		return tk_err_context(err, rc, "rebuilding the local state from the sites");
	run->has_current = true;
	return TK_OK;
}

enum tk_rc
tk_run_settle_catalog(struct tk_backup *run, struct tk_err *err)
{
	struct tk_head stored, base;
	enum tk_rc rc;

	if ((rc = newest_stored(run, &stored, err)) || (rc = choose_base(run, &stored, &base, err)))
		return rc;
	/* One that was stored, so that sites can show it. */
	run->verdict.last = stored;
	if (run->read_anew)
		tk_log_event(run->opts->log, TK_LOG_WARN, "read-anew", "reason=\"what the point before rests on is damaged\"");
	else if ((rc = settle_current(run, &base, err)))
		return rc;
	if (base.epoch && run->dedup_fresh &&
	    (rc = tk_rebuild_dedup(run->fetch, run->dedup, run->packs, &run->opts->domain, &base, &run->damaged, err)))
		return tk_err_context(err, rc, "rebuilding the index of chunks from the sites");
	return TK_OK;
}
