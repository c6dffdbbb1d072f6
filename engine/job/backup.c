#include "engine/job/backup.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/fault.h"
#include "engine/crypto/hash.h"
#include "engine/job/backup_core.h"
#include "engine/job/site_line.h"

#define NS_PER_MS 1000000LL
/* Local facts that nothing names any more are swept now and then: marking them all costs a look at every large file. */
#define SWEEP_EVERY 16u
/* Of metadata: so much to remove is worth going through all of it. */
#define META_PUT_BYTES ((uint64_t)1 << 20)

void
tk_backup_result_release(struct tk_backup_result *result)
{
	free(result->sites);
	memset(result, 0, sizeof(*result));
}

enum tk_rc
tk_run_step(struct tk_backup *run, const char *name, struct tk_err *err)
{
	if (run->opts->on_step)
		run->opts->on_step(run->opts->step_ctx, name);
	return tk_fault_point(name, err);
}

static void
run_close(struct tk_backup *run)
{
	tk_ingest_cleanup(&run->ingest);
	/* The packer's writer may still be telling the sites of packs: it ends before them. */
	tk_packer_cleanup(&run->packer);
	tk_sites_cleanup(&run->sites);
	tk_stock_cleanup(&run->stock);
	tk_catalog_writer_cleanup(&run->writer);
	tk_fetch_cleanup(&run->fetch);
	tk_dedup_cleanup(&run->dedup);
	tk_localstore_cleanup(&run->local);
	tk_wipe(run->tag_key, sizeof(run->tag_key));
	tk_catalog_cleanup(&run->catalog);
	tk_spool_cleanup(&run->spool);
	tk_journal_cleanup(&run->journal);
	tk_packtab_cleanup(&run->packs);
	tk_epoch_release(&run->verdict.epoch);
	free(run->left.list);
	tk_damaged_release(&run->damaged);
	free(run->spooled);
	tk_page_info_release(&run->root);
	tk_point_release(&run->point);
	tk_buf_release(&run->record);
	if (run->lock_fd >= 0)
		close(run->lock_fd);
}

static enum tk_rc
open_sites(struct tk_backup *run, struct tk_err *err)
{
	const struct tk_backup_opts *opts = run->opts;
	struct tk_sites_opts sites = {.sites = opts->sites, .count = opts->site_count, .domain = &opts->domain, .incarnation = &opts->incarnation,
				      .genesis = opts->genesis,
				      .journal = run->journal, .spool = run->spool, .stock = run->stock, .prepare = opts->prepare_site,
				      .prepare_ahead = opts->prepare_site_ahead, .prepare_ctx = opts->prepare_ctx, .reconnect_ms = opts->reconnect_ms, .log = opts->log};
	struct tk_epoch_opts epoch = {.handles = opts->sites, .site_count = opts->site_count, .journal = run->journal, .domain = &opts->domain,
				      .ring = opts->ring, .incarnation = &opts->incarnation, .first_grant = opts->first_grant,
				      .voters = &opts->voters, .fetch = run->fetch, .log = opts->log};
	enum tk_rc rc = tk_sites_open(&sites, &run->sites, err);

	if (rc)
		return rc;
	tk_sites_wait_open(run->sites, tk_clock_mono_ns() + opts->open_timeout_ms * NS_PER_MS);
	if ((rc = tk_sites_tell(run->sites, false, err)))
		return rc;
	for (size_t i = 0; i < opts->site_count; i++) {
		struct tk_site_report report;

		tk_sites_report(run->sites, i, &report);
		run->result->sites[i].asked = report.phase == TK_SITE_OPEN;
	}
	epoch.sites = run->sites;
	rc = tk_epoch_settle(&epoch, &run->verdict, err);
	run->result->possibly_fenced = run->verdict.possibly_fenced;
	run->result->epoch_won = run->verdict.won_now && run->verdict.epoch.epoch > 1 ? run->verdict.epoch.epoch : 0;
	run->result->sites_changed = run->verdict.sites_changed;
	return rc;
}

static enum tk_rc
on_pack(void *ctx, const struct tk_pack_ident *ident, struct tk_err *err)
{
	struct tk_backup *run = ctx;
	size_t item;
	enum tk_rc rc = tk_stock_add(run->stock, TK_STOCK_NEW, &ident->name, ident->len_bytes, &item, err);

	if (rc)
		return rc;
	tk_sites_send_pack(run->sites, item);
	return tk_stock_wait_room(run->stock, err);
}

static enum tk_rc
on_full(void *ctx, struct tk_err *err)
{
	struct tk_backup *run = ctx;

	tk_log_event(run->opts->log, TK_LOG_WARN, "spool", "reason=\"the disk is full\"");
	return tk_stock_wait_less(run->stock, err);
}

/* A chunk was found in a pack that an interrupted run left: the pack goes out with this point. */
static void
on_reuse(void *ctx, struct tk_blob_ref ref)
{
	struct tk_backup *run = ctx;
	const struct tk_leftover *left = tk_run_leftover(run, ref.pack);

	if (left && tk_stock_use(run->stock, left->item))
		tk_sites_send_pack(run->sites, left->item);
}

/* The least is a blob, or a small dataset would wait for ever. */
static uint64_t
rewrite_bytes(const struct tk_backup *run)
{
	uint64_t budget_bytes = run->has_current ? run->current.total_bytes / 100 * run->opts->rewrite_percent : 0;

	if (run->opts->rewrite_percent == 0)
		return 0;
	return budget_bytes < TK_BLOB_DATA_MAX ? TK_BLOB_DATA_MAX : budget_bytes;
}

static enum tk_rc
open_pipeline(struct tk_backup *run, struct tk_err *err)
{
	const struct tk_backup_opts *opts = run->opts;
	struct tk_packer_opts packer = {.keys = run->keys, .suite = opts->ring->suite, .incarnation = opts->incarnation, .packs = run->packs,
					.spool = run->spool, .codec = opts->codec, .level = opts->level, .threads = opts->threads,
					.pack_plain_bytes = tk_run_pack_bytes(run), .on_pack = on_pack, .on_full = on_full, .ctx = run};
	struct tk_ingest_opts ingest = {.suite = opts->ring->suite, .keys = run->keys, .packs = run->packs, .dedup = run->dedup,
					.local = run->local, .remote = tk_fetch_source(run->fetch), .segment_bytes = opts->segment_bytes,
					.chunk_min_bytes = opts->chunk_min_bytes, .chunk_avg_bytes = opts->chunk_avg_bytes,
					.chunk_max_bytes = opts->chunk_max_bytes, .delta_min_bytes = opts->delta_min_bytes,
					.block_bytes = opts->block_bytes, .signature = opts->signature, .tag_key = run->tag_key, .retries = opts->retries,
					.extents_max = opts->extents_max,
					.rewrite_bytes = rewrite_bytes(run), .rewrite_crumbs_min = opts->rewrite_crumbs_min,
					.rewrite_blob_bytes = opts->rewrite_blob_bytes, .threads = opts->threads,
					.cancel = opts->cancel, .on_reuse = on_reuse, .ctx = run};
	enum tk_rc rc;

	if ((rc = tk_packer_new(&packer, &run->packer, err)))
		return rc;
	ingest.packer = run->packer;
	if ((rc = tk_ingest_new(&ingest, &run->ingest, err)))
		return rc;
	return tk_catalog_writer_begin(run->catalog, &run->writer, err);
}

static bool
is_leftover(void *ctx, uint32_t pack)
{
	return tk_run_leftover(ctx, pack) != NULL;
}

static enum tk_rc
scan(struct tk_backup *run, struct tk_err *err)
{
	const struct tk_backup_opts *opts = run->opts;
	struct tk_walk_opts walk = {.roots = opts->roots, .root_count = opts->root_count, .exclude = opts->exclude,
				    .cross_file_systems = opts->cross_file_systems, .skip_caches = opts->skip_caches,
				    .skip_nodump = opts->skip_nodump, .skip_dirs = opts->skip_dirs, .skip_dir_count = opts->skip_dir_count,
				    .tmp_dir = opts->state_dir};
	struct tk_ingest_leavings left = {is_leftover, run};
	struct tk_scan_opts scan_opts = {.suite = opts->ring->suite, .packs = run->packs, .packer = run->packer, .ingest = run->ingest,
					 .catalog = run->catalog, .has_current = run->has_current, .writer = run->writer, .walk = &walk,
					 .scan_start_ns = run->start_ns, .racy_ns = opts->racy_ms * NS_PER_MS,
					 .trust = opts->trust, .append_only = opts->append_only, .reread_period_s = opts->reread_period_s,
					 .left = opts->dry_run || run->read_anew ? NULL : &left,
					 .checkpoint_ns = opts->checkpoint_ms * NS_PER_MS, .dry_run = opts->dry_run, .cancel = opts->cancel,
					 .progress = opts->progress, .on_note = opts->on_note, .ctx = opts->note_ctx};
	const struct tk_ingest_stats *stats;
	enum tk_rc rc;

	if (run->has_current) {
		scan_opts.last_scan_ns = run->current.scan_start_ns;
		scan_opts.expected_files = run->current.files;
		scan_opts.expected_bytes = run->current.total_bytes;
	}
	rc = tk_scan_run(&scan_opts, &run->root, &run->result->scan, err);
	stats = tk_ingest_stats(run->ingest);
	run->result->read_bytes = stats->read_bytes;
	run->result->literal_bytes = stats->literal_bytes;
	run->result->copied_bytes = stats->copied_bytes;
	run->result->rewritten_bytes = stats->rewritten_bytes;
	run->scan_end_ns = run->result->created_ns = tk_clock_wall_ns();
	return rc;
}

/* Metadata blobs are small and many, but for the maps of dumps; what is known of large files is a hundredth of them, and goes as soon as it is replaced. */
static bool
is_sweep_due(const struct tk_backup *run, enum tk_local_kind kind)
{
	uint64_t put_bytes = tk_localstore_put_bytes(run->local, kind);

	return run->point.at.sequence % SWEEP_EVERY == 0 || put_bytes > (kind == TK_LOCAL_META ? META_PUT_BYTES : 0);
}

/* Nothing of this fails a run that is stored: it costs disk until the next one. */
static void
tidy(struct tk_backup *run)
{
	static const enum tk_local_kind kinds[] = {TK_LOCAL_FACTS, TK_LOCAL_SIGNATURE, TK_LOCAL_META};
	struct tk_err err;

	if (tk_damaged_any_new(&run->damaged) && tk_damaged_settle(run->opts->state_dir, &run->opts->domain, &run->damaged, &err))
		tk_log_event(run->opts->log, TK_LOG_WARN, "damaged", "reason=\"%s\"", err.text);
	if (tk_run_clean_spool(run, &err))
		tk_log_event(run->opts->log, TK_LOG_WARN, "spool", "reason=\"%s\"", err.text);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (is_sweep_due(run, kinds[i]) && tk_localstore_sweep(run->local, kinds[i], &err))
			tk_log_event(run->opts->log, TK_LOG_WARN, "sweep", "reason=\"%s\"", err.text);
}

/* Against the local state alone: no site is asked, nothing is read but metadata. */
static enum tk_rc
dry_run(struct tk_backup *run, struct tk_err *err)
{
	enum tk_rc rc;

	run->has_current = tk_catalog_current(run->catalog, &run->current, err) == TK_OK;
	if ((rc = open_pipeline(run, err)))
		return rc;
	return scan(run, err);
}

static enum tk_rc
run_all(struct tk_backup *run, struct tk_err *err)
{
	enum tk_rc rc;

	if ((rc = tk_run_open_state(run, err)))
		return rc;
	if (run->opts->dry_run)
		return dry_run(run, err);
	if ((rc = tk_run_take_stock(run, err)) || (rc = open_sites(run, err)) || (rc = tk_run_step(run, "epoch-settled", err)) || (rc = tk_run_settle_past(run, err)) ||
	    (rc = tk_run_step(run, "past-settled", err)) || (rc = tk_run_settle_catalog(run, err)) ||
	    (rc = tk_run_step(run, "catalog-settled", err)) || (rc = open_pipeline(run, err)) || (rc = scan(run, err)) || (rc = tk_run_make_point(run, err)) || (rc = tk_run_publish(run, err)))
		return rc;
	tidy(run);
	return tk_run_step(run, "spool-cleaned", err);
}

static struct tk_site_mend
mending(struct tk_backup *run, size_t site, const bool *open)
{
	const struct tk_backup_opts *opts = run->opts;

	return (struct tk_site_mend){.sites = opts->sites, .site_count = opts->site_count, .open = open, .behind = site, .domain = &opts->domain,
				     .genesis = opts->genesis, .journal = run->journal, .spool = run->spool, .stock = run->stock,
				     .cancel = opts->cancel, .log = opts->log};
}

static void
mend_site(struct tk_backup *run, size_t behind, const bool *open)
{
	const struct tk_site_mend mend = mending(run, behind, open);
	const char *name = mend.sites[behind].name;
	struct tk_err *failure = &run->result->sites[behind].failure;
	size_t complete;
	struct tk_err err;

	if (tk_site_mend(&mend, &complete, &err))
		(void)tk_err_set(failure, TK_EBEHIND, "its vault was set back and promises nothing, and could not be given what it lacks: %s", err.text);
	else
		(void)tk_err_set(failure, TK_EBEHIND, "its vault was set back and promises nothing; it was given what %zu of the other sites hold; "
				 "let it in, where the vault is, with `twinkeep site readmit %s`", complete, name);
	tk_log_event(mend.log, TK_LOG_INFO, "mend", "site=%s result=\"%s\"", name, failure->text);
}

/* Once an epoch, and again until it went well: sites that were asked while one was away do not tell what that one holds. */
static void
give_line(struct tk_backup *run, size_t site, const bool *open, bool all_open)
{
	struct tk_site_line line = {.mend = mending(run, site, open), .fetch = run->fetch, .end = run->verdict.epoch.parent};
	const char *name = line.mend.sites[site].name;
	uint64_t known = 0;
	size_t given = 0;
	bool whole = false;
	struct tk_err err;
	enum tk_rc rc = tk_journal_get_line(run->journal, name, &run->opts->domain, &known, &err);

	if (!rc && known == run->verdict.epoch.epoch)
		return;
	if (!rc)
		rc = tk_site_line(&line, &given, &whole, &err);
	if (!rc && whole && all_open)
		rc = tk_journal_set_line(run->journal, name, &run->opts->domain, run->verdict.epoch.epoch, &err);
	if (rc || given > 0)
		tk_log_event(line.mend.log, rc ? TK_LOG_WARN : TK_LOG_INFO, "line", "site=%s given=%zu reason=\"%s\"", name, given, rc ? err.text : "");
}

/* A site that was set back gets what the others hold with every run, so that an operator finds it ready to be let in; one that came late to the present epoch gets
 * the points before it. */
static void
mend_sites(struct tk_backup *run, bool stored)
{
	size_t count = run->opts->site_count;
	bool *open = calloc(count + 1, sizeof(*open)), all_open = count == run->opts->voters.count;

	for (size_t i = 0; open && i < count; i++) {
		struct tk_site_report report;

		tk_sites_report(run->sites, i, &report);
		open[i] = report.phase == TK_SITE_OPEN;
		all_open &= open[i];
	}
	for (size_t i = 0; open && i < count; i++) {
		if (run->result->sites[i].failure.rc == TK_EBEHIND)
			mend_site(run, i, open);
		else if (stored && open[i] && run->verdict.epoch.parent.epoch > 0)
			give_line(run, i, open, all_open);
	}
	free(open);
}

/* *damaged: the cached pages turned out to be of no use; a run that distrusts them makes them anew. */
static enum tk_rc
run_once(const struct tk_backup_opts *opts, struct tk_backup_result *result, bool distrust_catalog, bool *damaged, struct tk_err *err)
{
	struct tk_backup run = {.opts = opts, .result = result, .lock_fd = -1, .start_ns = tk_clock_wall_ns(), .distrust_catalog = distrust_catalog};
	enum tk_rc rc;

	memset(result, 0, sizeof(*result));
	result->sites = calloc(opts->site_count + 1, sizeof(*result->sites));
	run.keys = tk_keyring_domain(opts->ring, &opts->domain);
	if (!result->sites || !run.keys || opts->site_count == 0)
		rc = tk_err_set(err, result->sites ? TK_ECONFIG : TK_ENOMEM, "dataset %s has no key or no site", opts->dataset_name);
	else
		rc = run_all(&run, err);
	if (rc && run.stock)
		tk_stock_stop(run.stock);
	if (rc && run.sites) {
		tk_sites_stop(run.sites);
		tk_run_take_reports(&run);
	}
	if (run.sites && !run.opts->dry_run && rc != TK_EFENCED && rc != TK_ECANCELLED)
		mend_sites(&run, rc == TK_OK);
	*damaged = rc == TK_ECORRUPT && run.has_current && result->point.epoch == 0;
	run_close(&run);
	return rc;
}

enum tk_rc
tk_backup_run(const struct tk_backup_opts *opts, struct tk_backup_result *result, struct tk_err *err)
{
	int64_t began_ns = tk_clock_mono_ns();
	struct tk_err why;
	bool damaged = false;
	enum tk_rc rc = run_once(opts, result, false, &damaged, &why);

	if (rc && damaged && !opts->dry_run) {
		tk_log_event(opts->log, TK_LOG_WARN, "local-state", "damaged=\"%s\"", why.text);
		tk_backup_result_release(result);
		rc = run_once(opts, result, true, &damaged, &why);
	}
	if (rc && err)
		*err = why;
	result->elapsed_ns = tk_clock_mono_ns() - began_ns;
	return rc;
}
