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

	tk_log_event(run->opts->log, TK_LOG_WARN, "read", "site=%s reason=\"%s\"", site, err->text);
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

/* ---- packs in the spool that no point names ---- */

static int
name_cmp(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct tk_pack_name));
}

/* Sorted names of the packs that living points of the journal add (malloc'ed). */
static enum tk_rc
named_packs(struct tk_backup *run, struct tk_pack_name **out, size_t *out_count, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf record = {0};
	struct tk_journal_point *points = NULL;
	struct tk_pack_name *names = NULL;
	size_t count = 0, total = 0;
	enum tk_rc rc = tk_journal_points(run->journal, &run->opts->domain, &points, &count, err);

	for (size_t i = 0; i < count && !rc; i++) {
		struct tk_point point = {0};
		struct tk_pack_name *grown;

		if (points[i].state == TK_POINT_ABANDONED)
			continue;
		tk_buf_clear(&record);
		if ((rc = tk_journal_get_point(run->journal, &run->opts->domain, &points[i].at, &record, err)) ||
		    (rc = tk_point_decode(record.data, record.len_bytes, &point, err)))
			break;
		grown = realloc(names, (total + point.pack_count + 1) * sizeof(*names));
		if (grown) {
			names = grown;
			for (size_t k = 0; k < point.pack_count; k++)
				names[total++] = point.packs[k].name;
		} else {
			rc = tk_err_set(err, TK_ENOMEM, "no memory for pack names");
		}
		tk_point_release(&point);
	}
	free(points);
	if (rc) {
		free(names);
		return rc;
	}
	if (total > 0)
		qsort(names, total, sizeof(*names), name_cmp);
	*out = names;
	*out_count = total;
	return TK_OK;
}

static enum tk_rc
add_leftover(struct tk_backup *run, const struct tk_pack_index *index, uint32_t number, struct tk_err *err)
{
	struct tk_leftovers *left = &run->left;
	size_t count = left->count + 1;
	struct tk_pack_ident *idents = realloc(left->idents, count * sizeof(*idents));
	uint32_t *numbers;
	bool *used;

	if (idents)
		left->idents = idents;
	numbers = realloc(left->numbers, count * sizeof(*numbers));
	if (numbers)
		left->numbers = numbers;
	used = realloc(left->used, count * sizeof(*used));
	if (used)
		left->used = used;
	if (!idents || !numbers || !used)
		return tk_err_set(err, TK_ENOMEM, "no memory for packs of the run before");
	left->idents[left->count] = index->ident;
	left->numbers[left->count] = number;
	left->used[left->count++] = false;
	return TK_OK;
}

static enum tk_rc
read_index(struct tk_backup *run, int fd, uint64_t len, struct tk_pack_index **out, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf tail = {0};
	uint8_t header[TK_PACK_HEADER_BYTES], trailer[TK_PACK_TRAILER_BYTES];
	uint32_t footer_bytes = 0;
	size_t got = 0, want;
	enum tk_rc rc;

	if (len < sizeof(header) + sizeof(trailer))
		return tk_err_set(err, TK_ECORRUPT, "a pack of %llu bytes", (unsigned long long)len);
	if ((rc = tk_pread_full(fd, header, sizeof(header), 0, &got, "pack", err)) ||
	    (rc = tk_pread_full(fd, trailer, sizeof(trailer), len - sizeof(trailer), &got, "pack", err)) ||
	    (rc = tk_pack_footer_bytes(trailer, len, &footer_bytes, err)))
		return rc;
	want = footer_bytes + sizeof(trailer);
	if ((rc = tk_buf_reserve(&tail, want, err)) || (rc = tk_pread_full(fd, tail.data, want, len - want, &got, "pack", err)))
		return rc;
	return tk_pack_index_read(run->keys, header, tail.data, want, len, out, err);
}

/* Every blob against its digest: a pack that was damaged in the spool must not be built on. */
static enum tk_rc
check_blobs(struct tk_opener *opener, const struct tk_pack_index *index, int fd, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf sealed = {0};

	for (uint32_t i = 0; i < index->blob_count; i++) {
		const struct tk_blob_info *info = &index->blobs[i];
		size_t got = 0;
		enum tk_rc rc;

		tk_buf_clear(&sealed);
		if ((rc = tk_buf_reserve(&sealed, info->sealed_bytes, err)) ||
		    (rc = tk_pread_full(fd, sealed.data, info->sealed_bytes, info->offset_bytes, &got, "pack", err)) ||
		    (rc = tk_check_blob(opener, index, i, sealed.data, got, err)))
			return rc;
	}
	return TK_OK;
}

/* Reads a leftover pack's contents blob into the dedup index. */
static enum tk_rc
adopt_pack(struct tk_backup *run, const struct tk_pack_name *name, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	TK_AUTO(tk_pack_index_cleanup) struct tk_pack_index *index = NULL;
	TK_AUTO(tk_opener_cleanup) struct tk_opener *opener = NULL;
	TK_AUTO(tk_buf_release) struct tk_buf sealed = {0}, plain = {0};
	const struct tk_blob_info *info;
	uint64_t len = 0;
	uint32_t number;
	size_t got = 0;
	enum tk_rc rc;

	if ((rc = tk_spool_read(run->spool, name, &fd, &len, err)) || (rc = read_index(run, fd, len, &index, err)))
		return rc;
	if (index->blob_count == 0 || index->blobs[index->blob_count - 1].type != TK_BLOB_CONTENTS)
		return tk_err_set(err, TK_ENOENT, "no contents");
	info = &index->blobs[index->blob_count - 1];
	if ((rc = tk_opener_new(&opener, err)) || (rc = check_blobs(opener, index, fd, err)) || (rc = tk_buf_reserve(&sealed, info->sealed_bytes, err)) ||
	    (rc = tk_pread_full(fd, sealed.data, info->sealed_bytes, info->offset_bytes, &got, "pack", err)) ||
	    (rc = tk_open_blob(opener, index, index->blob_count - 1, sealed.data, got, &plain, err)) ||
	    (rc = tk_packtab_intern(run->packs, name, &number, err)) ||
	    (rc = tk_dedup_add_contents(run->dedup, number, plain.data, plain.len_bytes, err)))
		return rc;
	return add_leftover(run, index, number, err);
}

static enum tk_rc
adopt_leftovers(struct tk_backup *run, struct tk_err *err)
{
	struct tk_pack_name *in_spool = NULL, *named = NULL;
	size_t count = 0, named_count = 0;
	uint64_t total;
	enum tk_rc rc;

	if ((rc = tk_spool_list(run->spool, &in_spool, &count, &total, err)))
		return rc;
	rc = count > 0 ? named_packs(run, &named, &named_count, err) : TK_OK;
	for (size_t i = 0; i < count && !rc; i++) {
		struct tk_err why;

		if (named && bsearch(&in_spool[i], named, named_count, sizeof(*named), name_cmp))
			continue;
		/* Metadata packs and damaged ones are of no use to this run. */
		if (adopt_pack(run, &in_spool[i], &why))
			rc = tk_spool_remove(run->spool, &in_spool[i], err);
	}
	free(in_spool);
	free(named);
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

enum tk_rc
tk_run_settle_past(struct tk_backup *run, struct tk_err *err)
{
	enum tk_rc rc;

	if ((rc = settle_points(run, err)) || (rc = settle_opening(run, err)))
		return rc;
	return adopt_leftovers(run, err);
}

void
tk_leftovers_release(struct tk_leftovers *left)
{
	free(left->idents);
	free(left->numbers);
	free(left->used);
	memset(left, 0, sizeof(*left));
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

enum tk_rc
tk_run_settle_catalog(struct tk_backup *run, struct tk_err *err)
{
	struct tk_head stored;
	bool fits;
	enum tk_rc rc;

	if ((rc = newest_stored(run, &stored, err)))
		return rc;
	/* The next point's parent must be one that sites can show. */
	run->verdict.last = stored;
	rc = tk_catalog_current(run->catalog, &run->current, err);
	if (rc && rc != TK_ENOENT && rc != TK_ECORRUPT)
		return rc;
	fits = !rc && !run->distrust_catalog && stored.epoch && memcmp(&run->current.at, &stored, sizeof(stored)) == 0;
	if (stored.epoch && !fits) {
		run->result->rebuilt = true;
		tk_log_event(run->opts->log, TK_LOG_INFO, "rebuild", "sequence=%llu", (unsigned long long)stored.sequence);
		if ((rc = tk_rebuild_catalog(run->fetch, run->catalog, run->packs, &run->opts->domain, run->keys, &stored, err)) ||
		    (rc = tk_catalog_current(run->catalog, &run->current, err)))
			return tk_err_context(err, rc, "rebuilding the local state from the sites");
		fits = true;
	}
	run->has_current = fits;
	if (stored.epoch && run->dedup_fresh &&
	    (rc = tk_rebuild_dedup(run->fetch, run->dedup, run->packs, &run->opts->domain, &stored, err)))
		return tk_err_context(err, rc, "rebuilding the index of chunks from the sites");
	return TK_OK;
}

/* ---- after the run ---- */

/* Is any configured site without a receipt for the point just made? Then the spool is kept for it. */
static bool
a_site_is_behind(const struct tk_backup *run)
{
	for (size_t i = 0; i < run->opts->site_count; i++)
		if (!run->result->sites[i].has_receipt)
			return true;
	return false;
}

enum tk_rc
tk_run_clean_spool(struct tk_backup *run, struct tk_err *err)
{
	struct tk_pack_name *names = NULL;
	size_t count = 0;
	uint64_t total = 0, keep = a_site_is_behind(run) ? run->opts->spool_max_bytes : 0;
	bool keep_all = a_site_is_behind(run) && run->opts->spool_max_bytes == 0;
	enum tk_rc rc = keep_all ? TK_OK : tk_spool_list(run->spool, &names, &count, &total, err);

	/* Oldest first: what no longer fits is caught up from another site. */
	for (size_t i = 0; i < count && !rc && total > keep; i++) {
		TK_AUTO(tk_fd_cleanup) int fd = -1;
		uint64_t len = 0;

		if (tk_spool_read(run->spool, &names[i], &fd, &len, NULL))
			continue;
		rc = tk_spool_remove(run->spool, &names[i], err);
		total -= len;
	}
	free(names);
	return rc;
}
