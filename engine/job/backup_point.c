#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/job/backup_core.h"

#define NS_PER_MS 1000000LL

/* The packs this point adds: those made now, and those of an interrupted run that it builds on. */
static enum tk_rc
collect_packs(struct tk_backup *run, const struct tk_pack_ident *made, size_t made_count, struct tk_err *err)
{
	struct tk_point *point = &run->point;

	point->packs = calloc(made_count + run->left.count + 1, sizeof(*point->packs));
	if (!point->packs)
		return tk_err_set(err, TK_ENOMEM, "no memory for the point");
	for (size_t i = 0; i < made_count; i++)
		point->packs[point->pack_count++] = made[i];
	for (size_t i = 0; i < run->left.count; i++)
		if (tk_stock_is_used(run->stock, run->left.list[i].item))
			point->packs[point->pack_count++] = run->left.list[i].ident;
	for (size_t i = 0; i < point->pack_count; i++)
		run->result->stored_bytes += point->packs[i].len_bytes;
	return TK_OK;
}

static enum tk_rc
seal_point(struct tk_backup *run, struct tk_err *err)
{
	const struct tk_backup_opts *opts = run->opts;
	const struct tk_scan_stats *scan = &run->result->scan;
	struct tk_point *point = &run->point;
	struct tk_point_body body = {
		.scan_start_ns = run->start_ns, .scan_end_ns = run->scan_end_ns, .tree = run->root.portable,
		.segment_bytes = opts->segment_bytes ? opts->segment_bytes : TK_SEGMENT_BYTES,
		.entries = scan->entries, .files = scan->files, .total_bytes = scan->total_bytes, .files_new = scan->files_new,
		.files_changed = scan->files_changed, .files_removed = scan->files_removed, .files_unreadable = scan->files_unreadable,
		.files_inconsistent = scan->files_inconsistent, .literal_bytes = run->result->literal_bytes,
		.stored_bytes = run->result->stored_bytes, .root_count = opts->root_count,
	};
	enum tk_rc rc = TK_OK;

	point->suite = opts->ring->suite;
	point->domain = point->dataset = opts->domain;
	point->incarnation = opts->incarnation;
	point->at.epoch = run->verdict.epoch.epoch;
	point->at.sequence = run->verdict.next_sequence;
	point->grant = run->verdict.epoch.grant_digest;
	point->parent = run->verdict.last.point;
	point->key_epoch = tk_domain_data_key(run->keys, 0)->key_epoch;
	point->root_pack = tk_packtab_name(run->packs, run->root.ref.pack);
	point->root_blob = run->root.ref.blob;
	if (!run->verdict.epoch.opened)
		rc = tk_buf_put(&point->opening, run->verdict.epoch.opening.data, run->verdict.epoch.opening.len_bytes, err);
	body.dataset_name = strdup(opts->dataset_name);
	body.source_name = strdup(opts->source_name);
	body.roots = calloc(opts->root_count + 1, sizeof(*body.roots));
	for (size_t i = 0; i < opts->root_count && body.roots; i++)
		body.roots[i] = strdup(opts->roots[i]);
	if (!rc && (!body.dataset_name || !body.source_name || !body.roots))
		rc = tk_err_set(err, TK_ENOMEM, "no memory for the point");
	if (!rc)
		rc = tk_point_seal(point, &body, run->keys, opts->ring->writer_seed, &run->record, err);
	tk_point_body_release(&body);
	return rc;
}

static enum tk_rc
write_next(struct tk_backup *run, struct tk_err *err)
{
	struct tk_catalog_current next = {
		.at = run->point.at, .tree = run->root.portable, .scan_start_ns = run->start_ns, .entries = run->result->scan.entries,
		.files = run->result->scan.files, .total_bytes = run->result->scan.total_bytes, .root = run->root.ref, .root_level = run->root.level,
	};

	return tk_catalog_writer_finish(run->writer, &next, err);
}

/*
 * The order that makes a crash harmless: packs are complete and fsynced in the spool (packer) or durable at sites (stock), the spool's directory is fsynced, the cached pages and `next` are fsynced, and
 * only then the point is journaled. From there on it is sent byte for byte, or abandoned.
 */
enum tk_rc
tk_run_make_point(struct tk_backup *run, struct tk_err *err)
{
	const struct tk_pack_ident *made = NULL;
	size_t made_count = 0;
	enum tk_rc rc;

	if ((rc = tk_packer_finish(run->packer, &made, &made_count, err)) || (rc = tk_stock_check(run->stock, err)) ||
	    (rc = tk_run_step(run, "packs-complete", err)) ||
	    (rc = collect_packs(run, made, made_count, err)) || (rc = seal_point(run, err)) || (rc = tk_spool_sync(run->spool, err)) ||
	    (rc = tk_run_step(run, "spool-synced", err)) || (rc = write_next(run, err)) || (rc = tk_run_step(run, "next-written", err)) ||
	    (rc = tk_journal_add_point(run->journal, &run->opts->domain, &run->point.at, run->record.data, run->record.len_bytes,
				       TK_POINT_JOURNALED, err)))
		return rc;
	run->result->point = run->point.at;
	if ((rc = tk_run_step(run, "journaled", err)))
		return rc;
	if (run->verdict.epoch.opened)
		return TK_OK;
	run->verdict.epoch.opened = true;
	if ((rc = tk_journal_set_epoch(run->journal, &run->opts->domain, &run->verdict.epoch, err)))
		return rc;
	return tk_run_step(run, "epoch-opened", err);
}

/* ---- receipts ---- */

void
tk_run_take_reports(struct tk_backup *run)
{
	for (size_t i = 0; i < run->opts->site_count; i++) {
		struct tk_backup_site *site = &run->result->sites[i];
		struct tk_site_report report;

		tk_sites_report(run->sites, i, &report);
		site->has_receipt = report.has_receipt;
		site->receipt_ns = report.receipt_ns;
		site->receipt_digest = report.receipt_digest;
		site->sent_bytes = report.sent_bytes;
		site->failure = report.failure;
		if (report.has_receipt)
			tk_err_clear(&site->failure);
	}
}

static void
judge(struct tk_backup *run)
{
	bool *has = calloc(run->opts->site_count + 1, sizeof(*has));

	run->result->ack_met = run->result->ack_safe = false;
	if (!has)
		return;
	for (size_t i = 0; i < run->opts->site_count; i++)
		has[i] = run->result->sites[i].has_receipt;
	run->opts->judge(run->opts->judge_ctx, has, run->opts->site_count, &run->result->ack_met, &run->result->ack_safe);
	free(has);
}

static bool
is_cancelled(const struct tk_backup *run)
{
	return run->opts->cancel && atomic_load(run->opts->cancel);
}

static bool
ack_is_met(void *ctx)
{
	struct tk_backup *run = ctx;

	tk_run_take_reports(run);
	judge(run);
	for (size_t i = 0; i < run->opts->site_count && !run->any_receipt; i++) {
		run->any_receipt = run->result->sites[i].has_receipt;
		if (run->any_receipt && run->opts->on_step)
			run->opts->on_step(run->opts->step_ctx, "first-receipt");
	}
	return run->result->ack_met || is_cancelled(run);
}

static enum tk_rc
mark_stored(struct tk_backup *run, struct tk_err *err)
{
	enum tk_rc rc;

	if ((rc = tk_journal_set_state(run->journal, &run->opts->domain, &run->point.at, TK_POINT_STORED, err)) ||
	    (rc = tk_run_step(run, "marked-stored", err)) || (rc = tk_catalog_advance(run->catalog, &run->point.at, err)) ||
	    (rc = tk_run_step(run, "catalog-advanced", err)) || (rc = tk_dedup_commit(run->dedup, err)))
		return rc;
	return tk_run_step(run, "dedup-committed", err);
}

static enum tk_rc
no_receipt(const struct tk_backup *run, struct tk_err *err)
{
	const struct tk_err *why = NULL;
	bool full = false;

	if (is_cancelled(run))
		return tk_err_set(err, TK_ECANCELLED, "interrupted; the point is journaled and goes out with the next run");
	for (size_t i = 0; i < run->opts->site_count; i++) {
		full |= run->result->sites[i].failure.rc == TK_ENOSPC;
		if (run->result->sites[i].failure.rc && (!why || run->result->sites[i].failure.rc == TK_EFENCED))
			why = &run->result->sites[i].failure;
	}
	if (why && why->rc == TK_EFENCED)
		return tk_err_set(err, TK_EFENCED, "no site stored the point: %s", why->text);
	/* A site that is full was reached. */
	return tk_err_set(err, full ? TK_ENOSPC : TK_EUNREACH, "no site stored the point; it is journaled here and goes out with the next run");
}

/* A receipt counts once its site was asked again, and did not forget it, after all that count with it were given; one that was not asked yet, or did not
 * answer, is taken away by then. */
static enum tk_rc
wait_for_receipts(struct tk_backup *run, struct tk_err *err)
{
	bool idle = false;
	enum tk_rc rc = TK_OK;

	for (run->result->ack_met = false; !rc && !run->result->ack_met && !idle && !is_cancelled(run);) {
		tk_sites_wait(run->sites, ack_is_met, run, INT64_MAX);
		idle = tk_sites_idle(run->sites);
		rc = tk_sites_tell(run->sites, true, err);
		(void)ack_is_met(run);
	}
	if (rc || !run->result->ack_met)
		return rc;
	tk_sites_wait(run->sites, NULL, NULL, tk_clock_mono_ns() + run->opts->linger_ms * NS_PER_MS);
	return tk_sites_tell(run->sites, true, err);
}

enum tk_rc
tk_run_publish(struct tk_backup *run, struct tk_err *err)
{
	bool any = false;
	enum tk_rc rc;

	if ((rc = tk_sites_publish(run->sites, &run->point.at, run->record.data, run->record.len_bytes, err)))
		return rc;
	if ((rc = wait_for_receipts(run, err)))
		return rc;
	tk_sites_stop(run->sites);
	tk_run_take_reports(run);
	judge(run);
	for (size_t i = 0; i < run->opts->site_count; i++)
		any |= run->result->sites[i].has_receipt;
	if (!any)
		return no_receipt(run, err);
	rc = tk_run_step(run, "published", err);
	return rc ? rc : mark_stored(run, err);
}
