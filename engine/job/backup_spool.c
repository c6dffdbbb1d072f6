/* The packs of a run and of those before it: the bound of the spool, what an interrupted run left there or at the sites, and what stays after the run. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/fsio/openat.h"
#include "engine/job/backup_core.h"
#include "engine/job/rebuild.h"

#define PACK_PLAIN_BYTES (64u << 20)
#define PACK_PLAIN_MIN_BYTES (1u << 20)
/* A spool holds no less than so many packs. */
#define SPOOL_PACKS 8u
/* Packs that are being written lie there too: one of data, one of metadata. */
#define OPEN_PACKS 2u
#define GRACE_DEFAULT_MS 30000
#define WAIT_DEFAULT_MS 3600000

/* ---- the bound ---- */

uint32_t
tk_run_pack_bytes(const struct tk_backup *run)
{
	uint64_t share = run->spool_bytes / SPOOL_PACKS;

	if (run->opts->pack_plain_bytes)
		return run->opts->pack_plain_bytes;
	if (run->spool_bytes == 0 || share >= PACK_PLAIN_BYTES)
		return PACK_PLAIN_BYTES;
	return share < PACK_PLAIN_MIN_BYTES ? PACK_PLAIN_MIN_BYTES : (uint32_t)share;
}

/* Half of what the disk has room for is left to everything else on it, a vault of this machine among it. */
static enum tk_rc
find_bound(struct tk_backup *run, uint64_t here_bytes, struct tk_err *err)
{
	uint64_t room = 0;
	enum tk_rc rc = tk_spool_room(run->spool, &room, err);

	run->spool_bytes = run->opts->spool_max_bytes;
	if (!rc && run->spool_bytes > 0 && run->spool_bytes > (room + here_bytes) / 2) {
		run->spool_bytes = (room + here_bytes) / 2 + 1;
		tk_log_event(run->opts->log, TK_LOG_INFO, "spool", "bound=%llu reason=\"little room on its disk\"", (unsigned long long)run->spool_bytes);
	}
	return rc;
}

static uint64_t
complete_max(const struct tk_backup *run)
{
	/* A pack ends with the blob that fills it. */
	uint64_t open = (uint64_t)OPEN_PACKS * (tk_run_pack_bytes(run) + TK_BLOB_DATA_MAX);

	if (run->spool_bytes == 0)
		return 0;
	return run->spool_bytes > 2 * open ? run->spool_bytes - open : run->spool_bytes / 2 + 1;
}

static void
press(void *ctx)
{
	struct tk_backup *run = ctx;
	size_t item;

	while (tk_stock_next_unsent(run->stock, &item))
		tk_sites_send_pack(run->sites, item);
	tk_sites_flush(run->sites);
}

static enum tk_rc
stock_spool(struct tk_backup *run, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < run->spooled_count && !rc; i++) {
		TK_AUTO(tk_fd_cleanup) int fd = -1;
		uint64_t len = 0;
		size_t item;

		if (!(rc = tk_spool_read(run->spool, &run->spooled[i], &fd, &len, err)))
			rc = tk_stock_add(run->stock, TK_STOCK_KEPT, &run->spooled[i], len, &item, err);
	}
	return rc;
}

enum tk_rc
tk_run_take_stock(struct tk_backup *run, struct tk_err *err)
{
	const struct tk_backup_opts *opts = run->opts;
	struct tk_stock_opts stock = {.sites = opts->sites, .site_count = opts->site_count, .spool = run->spool,
				      .grace_ms = opts->spool_grace_ms ? opts->spool_grace_ms : GRACE_DEFAULT_MS,
				      .wait_ms = opts->spool_wait_ms ? opts->spool_wait_ms : WAIT_DEFAULT_MS, .cancel = opts->cancel,
				      .judge = opts->judge, .judge_ctx = opts->judge_ctx, .press = press, .press_ctx = run};
	uint64_t total = 0;
	enum tk_rc rc;

	if ((rc = tk_spool_list(run->spool, &run->spooled, &run->spooled_count, &total, err)) || (rc = find_bound(run, total, err)))
		return rc;
	stock.max_bytes = complete_max(run);
	if ((rc = tk_stock_new(&stock, &run->stock, err)))
		return rc;
	return stock_spool(run, err);
}

/* ---- packs that no point names ---- */

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
		if ((rc = tk_journal_get_point(run->journal, &run->opts->domain, &points[i].at, &record, err)))
			break;
		rc = tk_point_decode(record.data, record.len_bytes, &point, err);
		/* It is of no use to a site either: what it named is treated as what no point names. */
		if (rc == TK_ECORRUPT || rc == TK_EUNSUPPORTED) {
			tk_log_event(run->opts->log, TK_LOG_WARN, "journal", "sequence=%llu damaged=\"%s\"", (unsigned long long)points[i].at.sequence, err->text);
			rc = TK_OK;
			continue;
		}
		if (rc)
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
add_leftover(struct tk_backup *run, const struct tk_pack_ident *ident, uint32_t number, size_t item, struct tk_err *err)
{
	struct tk_leftovers *left = &run->left;
	struct tk_leftover *grown = realloc(left->list, (left->count + 1) * sizeof(*grown));

	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "no memory for packs of the run before");
	left->list = grown;
	left->list[left->count++] = (struct tk_leftover){*ident, number, item};
	return TK_OK;
}

static int
by_number(const void *left, const void *right)
{
	const struct tk_leftover *a = left;
	const struct tk_leftover *b = right;

	return (a->number > b->number) - (a->number < b->number);
}

const struct tk_leftover *
tk_run_leftover(const struct tk_backup *run, uint32_t number)
{
	const struct tk_leftover key = {.number = number};

	return run->left.count == 0 ? NULL : bsearch(&key, run->left.list, run->left.count, sizeof(key), by_number);
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

/* Reads the contents blob, if the pack has one (small files have no ids), into the dedup index. */
static enum tk_rc
add_contents(struct tk_backup *run, struct tk_opener *opener, const struct tk_pack_index *index, int fd, uint32_t number, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf sealed = {0};
	TK_AUTO(tk_buf_release) struct tk_buf plain = {0};
	const struct tk_blob_info *info = &index->blobs[index->blob_count - 1];
	size_t got = 0;
	enum tk_rc rc;

	if (info->type != TK_BLOB_CONTENTS)
		return TK_OK;
	if ((rc = tk_buf_reserve(&sealed, info->sealed_bytes, err)) ||
	    (rc = tk_pread_full(fd, sealed.data, info->sealed_bytes, info->offset_bytes, &got, "pack", err)) ||
	    (rc = tk_open_blob(opener, index, index->blob_count - 1, sealed.data, got, &plain, err)))
		return rc;
	return tk_dedup_add_contents(run->dedup, number, plain.data, plain.len_bytes, err);
}

/* A leftover pack in the spool, whole and with data in it. */
static enum tk_rc
adopt_spooled(struct tk_backup *run, size_t item, struct tk_err *err)
{
	const struct tk_pack_name *name = &run->spooled[item];
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	TK_AUTO(tk_pack_index_cleanup) struct tk_pack_index *index = NULL;
	TK_AUTO(tk_opener_cleanup) struct tk_opener *opener = NULL;
	uint64_t len = 0;
	uint32_t number;
	enum tk_rc rc;

	if ((rc = tk_spool_read(run->spool, name, &fd, &len, err)) || (rc = read_index(run, fd, len, &index, err)))
		return rc;
	if (index->blob_count == 0 || index->head.type == TK_PACK_META)
		return tk_err_set(err, TK_ENOENT, "no data");
	if ((rc = tk_opener_new(&opener, err)) || (rc = check_blobs(opener, index, fd, err)) || (rc = tk_packtab_intern(run->packs, name, &number, err)) ||
	    (rc = add_contents(run, opener, index, fd, number, err)))
		return rc;
	tk_stock_set_kind(run->stock, item, TK_STOCK_LEFT);
	return add_leftover(run, &index->ident, number, item, err);
}

static bool
is_named(const struct tk_pack_name *names, size_t count, const struct tk_pack_name *name)
{
	return count > 0 && bsearch(name, names, count, sizeof(*names), name_cmp);
}

static enum tk_rc
adopt_spool(struct tk_backup *run, const struct tk_pack_name *named, size_t named_count, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < run->spooled_count && !rc; i++) {
		struct tk_err why;

		if (is_named(named, named_count, &run->spooled[i])) {
			tk_stock_set_kind(run->stock, i, TK_STOCK_OLD);
			continue;
		}
		/* Metadata packs and damaged ones are of no use to this run. */
		if (adopt_spooled(run, i, &why)) {
			rc = tk_spool_remove(run->spool, &run->spooled[i], err);
			tk_stock_forget(run->stock, i);
		}
	}
	return rc;
}

/* ---- those that had left the full spool ---- */

struct have_call {
	const struct tk_pack_name *names;
	size_t count;
	bool *have;
};

static enum tk_rc
call_have(struct tk_store *store, void *arg, struct tk_err *err)
{
	struct have_call *call = arg;

	return store->ops->have(store, call->names, call->count, call->have, err);
}

/* have[site * count + i]: the site has the whole of pack i. One that does not answer has nothing. */
static enum tk_rc
ask_sites(struct tk_backup *run, const struct tk_pack_name *names, size_t count, bool **have, struct tk_err *err)
{
	*have = calloc(run->opts->site_count * count + 1, sizeof(**have));
	if (!*have)
		return tk_err_set(err, TK_ENOMEM, "no memory for packs of the run before");
	for (size_t site = 0; site < run->opts->site_count; site++) {
		struct have_call call = {names, count, *have + site * count};

		if (tk_fetch_with_session(run->fetch, site, call_have, &call, NULL))
			memset(call.have, 0, count * sizeof(*call.have));
	}
	return TK_OK;
}

static enum tk_rc
adopt_away(struct tk_backup *run, const struct tk_pack_name *name, const bool *held, struct tk_err *err)
{
	const struct tk_pack_index *index = NULL;
	struct tk_pack_ident ident;
	uint32_t number;
	size_t item;
	enum tk_rc rc;

	if ((rc = tk_packtab_intern(run->packs, name, &number, err)) || (rc = tk_fetch_index(run->fetch, number, &index, err)))
		return rc;
	ident = index->ident;
	tk_fetch_index_release(run->fetch, index);
	if ((rc = tk_stock_add_away(run->stock, name, ident.len_bytes, held, &item, err)) ||
	    (rc = tk_rebuild_dedup_pack(run->fetch, run->dedup, number, err)))
		return rc;
	return add_leftover(run, &ident, number, item, err);
}

static enum tk_rc
adopt_all_away(struct tk_backup *run, const struct tk_pack_name *away, size_t count, const struct tk_pack_name *named, size_t named_count,
	       struct tk_err *err)
{
	bool *have = NULL, *held = calloc(run->opts->site_count + 1, sizeof(*held));
	size_t adopted = 0;
	enum tk_rc rc = held ? ask_sites(run, away, count, &have, err) : tk_err_set(err, TK_ENOMEM, "no memory for packs of the run before");

	for (size_t i = 0; i < count && !rc; i++) {
		struct tk_err why;

		for (size_t site = 0; site < run->opts->site_count; site++)
			held[site] = have[site * count + i];
		/* What cannot be had, or at too few sites, is stored anew. */
		if (!is_named(named, named_count, &away[i]) && adopt_away(run, &away[i], held, &why) == TK_OK)
			adopted++;
	}
	if (!rc)
		tk_log_event(run->opts->log, TK_LOG_INFO, "resume", "packs_at_sites=%zu of=%zu", adopted, count);
	free(have);
	free(held);
	return rc;
}

enum tk_rc
tk_run_adopt_leftovers(struct tk_backup *run, struct tk_err *err)
{
	struct tk_pack_name *named = NULL, *away = NULL;
	size_t named_count = 0, away_count = 0;
	enum tk_rc rc = tk_spool_list_away(run->spool, &away, &away_count, err);

	if (!rc && run->spooled_count + away_count > 0)
		rc = named_packs(run, &named, &named_count, err);
	if (!rc)
		rc = adopt_spool(run, named, named_count, err);
	if (!rc && away_count > 0)
		rc = adopt_all_away(run, away, away_count, named, named_count, err);
	if (run->left.count > 1)
		qsort(run->left.list, run->left.count, sizeof(*run->left.list), by_number);
	free(named);
	free(away);
	return rc;
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

/* Of what an interrupted run left, no point needs these. */
static enum tk_rc
remove_unused(struct tk_backup *run, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < run->left.count && !rc; i++)
		if (!tk_stock_is_used(run->stock, run->left.list[i].item))
			rc = tk_spool_remove(run->spool, &run->left.list[i].ident.name, err);
	return rc ? rc : tk_spool_forget_away(run->spool, err);
}

enum tk_rc
tk_run_clean_spool(struct tk_backup *run, struct tk_err *err)
{
	struct tk_pack_name *names = NULL;
	size_t count = 0;
	bool behind = a_site_is_behind(run);
	uint64_t total = 0, keep = behind ? run->spool_bytes : 0;
	enum tk_rc rc = remove_unused(run, err);

	if (rc || (behind && run->spool_bytes == 0))
		return rc;
	rc = tk_spool_list(run->spool, &names, &count, &total, err);
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
