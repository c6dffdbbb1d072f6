#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/base/fault.h"
#include "engine/base/hex.h"
#include "engine/vault/opening.h"
#include "engine/vault/vault_expired.h"
#include "engine/vault/vault_trace.h"

/* What becomes durable, in this order, before a receipt is given out (docs/DURABILITY.md):
 *   1. every pack: bytes, name, directory, index row          tk_vault_flush, before anything else
 *   2. the grant, if the point opens an epoch                 file, fsync, rename, fsync of the directory
 *   3. the point record                                       likewise
 *   4. the receipt record                                     likewise; from here on the point is published
 *   5. one SQLite transaction: traced blobs, point row
 * A failure after 2 leaves domain->loaded false, so that the next one who enters compares files and index first: a vote that is given after a failed
 * publish knows whether the receipt is on disk or not. */

static enum tk_rc
put_record(struct tk_vault *vault, const struct tk_point *point, const char *directory, const struct tk_buf *record, struct tk_err *err)
{
	char name[TK_POINT_FILE_NAME_MAX], path[TK_VFILE_PATH_MAX];

	tk_point_file_name(&point->at, name);
	tk_vrecord_path(path, &point->domain, directory, name);
	return tk_vfile_put(vault->root_fd, path, record->data, record->len_bytes, directory, err);
}

static enum tk_rc
make_receipt(struct tk_vault *vault, const struct tk_vdomain *domain, const struct tk_point *point, struct tk_point_row *row, struct tk_buf *record,
	     struct tk_err *err)
{
	struct tk_receipt receipt = {.suite = TK_VAULT_SUITE, .domain = point->domain, .site = vault->site.site_id, .at = point->at};

	receipt.counter = tk_vault_next_counter(vault, &receipt.vault_incarnation);
	receipt.promised_epoch = domain->promised_epoch > point->at.epoch ? domain->promised_epoch : point->at.epoch;
	receipt.time_ns = tk_clock_wall_ns();
	memcpy(receipt.site_name, vault->site.name, sizeof(receipt.site_name));
	memcpy(receipt.site_key, vault->site.site_key, sizeof(receipt.site_key));
	row->domain = point->domain;
	row->at = point->at;
	row->counter = receipt.counter;
	row->received_ns = (uint64_t)receipt.time_ns;
	row->state = TK_POINT_WHOLE;
	row->root_pack = point->root_pack;
	row->root_blob = point->root_blob;
	return tk_receipt_seal(&receipt, vault->site_seed, record, err);
}

static enum tk_rc
commit_rows(struct tk_vault *vault, struct tk_vtrace *trace, const struct tk_point_row *row, struct tk_err *err)
{
	TK_AUTO(tk_vindex_txn_cleanup) struct tk_vindex_txn txn = {0};
	enum tk_rc rc = tk_fault_point("publish.index", err);

	if (!rc)
		rc = tk_vindex_begin(vault->index, &txn, err);
	if (!rc && trace)
		rc = tk_vtrace_store(trace, err);
	if (!rc)
		rc = tk_vindex_put_point(vault->index, row, err);
	if (!rc)
		rc = tk_fault_point("publish.commit", err);
	return rc ? rc : tk_vindex_commit(&txn, err);
}

/* What a point brings with it when it opens an epoch: the grant, which *grant_bytes borrows, and the votes that won it. A site that had no part in them takes no
 * writer's word for it. */
static enum tk_rc
read_opening(const struct tk_point *point, struct tk_grant *grant, struct tk_bytes *grant_bytes, struct tk_err *err)
{
	struct tk_opening opening;
	enum tk_rc rc = tk_opening_decode(point->opening.data, point->opening.len_bytes, &opening, err);

	if (!rc)
		rc = tk_grant_decode(opening.grant.data, opening.grant.len_bytes, grant, err);
	if (rc)
		return rc;
	if (memcmp(grant->digest.b, point->grant.b, sizeof(grant->digest.b)) != 0)
		return tk_err_set(err, TK_EDENIED, "the point names another grant than the one it brings");
	*grant_bytes = opening.grant;
	return tk_opening_check(&opening, grant, err);
}

/* The grant under which the point was written: stored here, or brought by the point (*fresh: to be stored), or for epoch 1 what the genesis record says,
 * which the operator signed too. */
static enum tk_rc
find_grant(struct tk_vault *vault, const struct tk_vdomain *domain, const struct tk_point *point, struct tk_grant *grant, struct tk_bytes *fresh,
	   struct tk_err *err)
{
	struct tk_bytes brought = {0};
	struct tk_grant stored;
	enum tk_rc rc = point->opening.len_bytes > 0 ? read_opening(point, grant, &brought, err) : TK_OK;

	if (!rc)
		rc = tk_vgrant_load(vault, &domain->id, point->at.epoch, &point->grant, &stored, err);
	if (!rc)
		*grant = stored;
	if (rc != TK_ENOENT)
		return rc;
	if (brought.data) {
		*fresh = brought;
		return tk_vgrant_allowed(vault, domain, grant, err);
	}
	if (point->at.epoch != 1)
		return tk_err_set(err, TK_EDENIED, "the grant of epoch %llu is not known here: the point that opens it must come first",
			(unsigned long long)point->at.epoch);
	grant->epoch = 1;
	grant->digest = point->grant;
	grant->incarnation = domain->genesis.incarnation;
	memcpy(grant->writer_key, domain->genesis.writer_key, sizeof(grant->writer_key));
	return TK_OK;
}

static enum tk_rc
check_writer(const struct tk_point *point, const struct tk_grant *grant, struct tk_err *err)
{
	if (grant->epoch != point->at.epoch)
		return tk_err_set(err, TK_EDENIED, "the point's grant is of another epoch");
	if (memcmp(grant->writer_key, point->writer_key, sizeof(grant->writer_key)) != 0 ||
	    memcmp(grant->incarnation.b, point->incarnation.b, sizeof(grant->incarnation.b)) != 0)
		return tk_err_set(err, TK_EDENIED, "the point is not signed by the writer of its epoch");
	return TK_OK;
}

/* *named: a later point that is here names this one as its parent. The parent's digest stands under the signature of a writer whose grant was checked, or was itself
 * named so, and vouches for every byte. */
static enum tk_rc
is_named(struct tk_vault *vault, const struct tk_point *point, bool *named, struct tk_err *err)
{
	struct tk_point_row *rows = NULL;
	size_t count = 0;
	enum tk_rc rc = tk_vindex_points(vault->index, &point->domain, &rows, &count, err);

	*named = false;
	for (size_t i = 0; i < count && !rc && !*named; i++) {
		TK_AUTO(tk_point_release) struct tk_point later = {0};
		char name[TK_POINT_FILE_NAME_MAX];

		if (rows[i].at.epoch < point->at.epoch || rows[i].at.sequence <= point->at.sequence)
			continue;
		tk_point_file_name(&rows[i].at, name);
		/* One that cannot be read vouches for nothing. */
		if (tk_vread_point(vault, &point->domain, name, &later, NULL, NULL) == TK_OK)
			*named = memcmp(&later.parent, &point->at.point, sizeof(later.parent)) == 0;
	}
	free(rows);
	return rc;
}

/* A point of an epoch that is over. A vault that is behind takes in what it missed; any takes the ancestors of what it holds (*named). Neither moves the head or
 * what is promised, and the receipt says which epoch is promised by then, so that it counts for nothing. */
static enum tk_rc
check_ended(struct tk_vault *vault, const struct tk_vdomain *domain, const struct tk_point *point, bool *named, struct tk_err *err)
{
	enum tk_rc rc = tk_vault_is_behind(vault) ? TK_OK : is_named(vault, point, named, err);

	if (rc || *named || tk_vault_is_behind(vault))
		return rc;
	return tk_err_set(err, TK_EFENCED, "epoch %llu is over: this site has promised epoch %llu", (unsigned long long)point->at.epoch,
			  (unsigned long long)domain->promised_epoch);
}

static enum tk_rc
check_epoch(struct tk_vault *vault, const struct tk_vdomain *domain, const struct tk_point *point, bool *named, struct tk_err *err)
{
	*named = false;
	/* File names and the index hold no more; neither does any writer ever come there. */
	if (point->at.epoch == 0 || point->at.epoch > UINT32_MAX || point->at.sequence == 0 || point->at.sequence > INT64_MAX)
		return tk_err_set(err, TK_EINVAL, "epoch or sequence is out of range");
	if (point->at.epoch < domain->promised_epoch)
		return check_ended(vault, domain, point, named, err);
	if (point->at.epoch == domain->promised_epoch && memcmp(point->grant.b, domain->promised_grant.b, sizeof(point->grant.b)) != 0)
		return tk_err_set(err, TK_EFENCED, "epoch %llu is promised to another grant", (unsigned long long)point->at.epoch);
	return TK_OK;
}

/* A parent need not be here; one that is must lie before. */
static enum tk_rc
check_parent(struct tk_vault *vault, const struct tk_point *point, struct tk_err *err)
{
	static const struct tk_digest none;
	bool opens = memcmp(point->parent.b, none.b, sizeof(none.b)) == 0;
	struct tk_point_row parent;
	enum tk_rc rc = TK_OK;

	if (!opens) {
		rc = tk_vindex_point_by_id(vault->index, &point->domain, &point->parent, &parent, err);
		if (rc)
			return rc == TK_ENOENT ? TK_OK : rc;
		if (parent.at.sequence >= point->at.sequence || parent.at.epoch > point->at.epoch)
			return tk_err_set(err, TK_EINVAL, "the point does not come after its parent");
		opens = parent.at.epoch < point->at.epoch;
	}
	if (opens && point->at.epoch > 1 && point->opening.len_bytes == 0)
		rc = tk_err_set(err, TK_EINVAL, "the first point of an epoch must carry its opening");
	return rc;
}

static enum tk_rc
promise(struct tk_vault *vault, struct tk_vdomain *domain, const struct tk_point *point, const struct tk_buf *record, const struct tk_grant *grant,
	struct tk_bytes fresh_grant, struct tk_vtrace *trace, struct tk_buf *receipt, struct tk_err *err)
{
	struct tk_point_row row;
	enum tk_rc rc = TK_OK;

	tk_vdomain_promise_begin(vault, domain);
	if (fresh_grant.data)
		rc = tk_vgrant_store(vault, grant, fresh_grant.data, fresh_grant.len_bytes, err);
	if (!rc)
		rc = put_record(vault, point, "points", record, err);
	if (!rc)
		rc = make_receipt(vault, domain, point, &row, receipt, err);
	if (!rc)
		rc = put_record(vault, point, "receipts", receipt, err);
	if (!rc)
		rc = commit_rows(vault, trace, &row, err);
	if (rc)
		return rc;
	if (domain->promised_epoch <= point->at.epoch) {
		domain->promised_epoch = point->at.epoch;
		domain->promised_grant = point->grant;
	}
	if (tk_head_compare(&domain->head, &point->at) < 0)
		domain->head = point->at;
	tk_vdomain_promise_end(vault, domain);
	return tk_fault_point("publish.told", err);
}

static enum tk_rc
say_missing(const struct tk_vtrace *trace, struct tk_pack_names *missing, struct tk_err *err)
{
	enum tk_rc rc = tk_vtrace_missing(trace, missing, err);

	return rc ? rc : tk_err_set(err, TK_EMISSING, "%zu packs that the point needs are not here, or not whole", missing->count);
}

/* With `refs` held shared: what the trace found cannot be condemned or dropped before the marks are committed. */
static enum tk_rc
trace_and_promise(struct tk_vault *vault, struct tk_vdomain *domain, const struct tk_point *point, const struct tk_buf *record,
		  const struct tk_grant *grant, struct tk_bytes fresh_grant, struct tk_buf *receipt, struct tk_pack_names *missing,
		  struct tk_err *err)
{
	TK_AUTO(tk_vtrace_cleanup) struct tk_vtrace *trace = NULL;
	bool complete = false;
	enum tk_rc rc = tk_vtrace_new(vault, &domain->id, &trace, err);

	if (!rc)
		rc = tk_vtrace_added(trace, point, err);
	if (!rc)
		rc = tk_vtrace_point(trace, point, &complete, err);
	if (!rc && !complete)
		return say_missing(trace, missing, err);
	return rc ? rc : promise(vault, domain, point, record, grant, fresh_grant, trace, receipt, err);
}

/* A point whose content was damaged or lost when its row was made: a receipt for it is given again only once all of it is here again. */
static enum tk_rc
complete_again(struct tk_vault *vault, struct tk_vdomain *domain, const struct tk_point *point, struct tk_point_row *row,
	       struct tk_pack_names *missing, struct tk_err *err)
{
	TK_AUTO(tk_vtrace_cleanup) struct tk_vtrace *trace = NULL;
	bool complete = false;
	enum tk_rc rc = tk_vtrace_new(vault, &domain->id, &trace, err);

	if (!rc)
		rc = tk_vtrace_added(trace, point, err);
	if (!rc)
		rc = tk_vtrace_point(trace, point, &complete, err);
	if (!rc && !complete)
		return say_missing(trace, missing, err);
	row->state = TK_POINT_WHOLE;
	row->root_pack = point->root_pack;
	row->root_blob = point->root_blob;
	if (!rc)
		rc = commit_rows(vault, trace, row, err);
	if (!rc && tk_head_compare(&domain->head, &row->at) < 0)
		domain->head = row->at;
	return rc;
}

/* Was the receipt given as the vault that this one is now? What a former incarnation wrote it may have withheld, being behind, or have forgotten since. */
static bool
is_present(struct tk_vault *vault, const struct tk_receipt *receipt)
{
	bool present;

	(void)pthread_mutex_lock(&vault->counter_lock);
	present = memcmp(&receipt->vault_incarnation, &vault->incarnation, sizeof(vault->incarnation)) == 0;
	(void)pthread_mutex_unlock(&vault->counter_lock);
	return present;
}

/* The stored receipt. One that is damaged, lost, or a former incarnation's is given anew, under the epoch that is promised by now. */
static enum tk_rc
receipt_again(struct tk_vault *vault, struct tk_vdomain *domain, const struct tk_point *point, const struct tk_buf *record, struct tk_buf *receipt,
	      struct tk_err *err)
{
	char name[TK_POINT_FILE_NAME_MAX];
	struct tk_receipt stored;
	struct tk_point_row row;
	enum tk_rc rc;

	tk_point_file_name(&point->at, name);
	rc = tk_vread_receipt(vault, &domain->id, name, &stored, receipt, err);
	if ((!rc && is_present(vault, &stored)) || (rc && rc != TK_ECORRUPT && rc != TK_ENOENT))
		return rc;
	tk_buf_clear(receipt);
	domain->loaded = false;
	rc = put_record(vault, point, "points", record, err);
	if (!rc)
		rc = make_receipt(vault, domain, point, &row, receipt, err);
	if (!rc)
		rc = put_record(vault, point, "receipts", receipt, err);
	if (!rc)
		rc = commit_rows(vault, NULL, &row, err);
	domain->loaded = !rc;
	return rc;
}

/* A receipt that was given for what expired since is shown again, but none is given anew. */
static enum tk_rc
receipt_of_expired(struct tk_vault *vault, const struct tk_vdomain *domain, const struct tk_point *point, struct tk_buf *receipt, struct tk_err *err)
{
	char name[TK_POINT_FILE_NAME_MAX];
	struct tk_receipt stored;
	enum tk_rc rc;

	tk_point_file_name(&point->at, name);
	rc = tk_vread_receipt(vault, &domain->id, name, &stored, receipt, err);
	if (rc && rc != TK_ECORRUPT && rc != TK_ENOENT)
		return rc;
	return !rc && is_present(vault, &stored) ? TK_OK : tk_err_set(err, TK_ECONFLICT, "the content of this point expired here");
}

/* The same point again: its receipt again. */
static enum tk_rc
repeat(struct tk_vault *vault, struct tk_vdomain *domain, const struct tk_point *point, const struct tk_buf *record, struct tk_point_row *known,
       struct tk_buf *receipt, struct tk_pack_names *missing, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	if (tk_point_is_expired(known->state))
		return receipt_of_expired(vault, domain, point, receipt, err);
	if (known->state == TK_POINT_BROKEN) {
		(void)pthread_rwlock_rdlock(&vault->refs);
		rc = complete_again(vault, domain, point, known, missing, err);
		(void)pthread_rwlock_unlock(&vault->refs);
	}
	return rc ? rc : receipt_again(vault, domain, point, record, receipt, err);
}

/* A point whose content expired here, and whose receipt was lost since, does not come back: it would go again when the domain is loaded next. */
static enum tk_rc
check_unexpired(struct tk_vault *vault, const struct tk_vdomain *domain, const struct tk_point *point, struct tk_err *err)
{
	TK_AUTO(tk_vexpired_release) struct tk_vexpired expired = {{0}};
	enum tk_rc rc;

	if (tk_head_compare(&point->at, &domain->expired_last) > 0)
		return TK_OK;
	rc = tk_vexpired_load(vault, &domain->id, &expired, err);
	if (!rc && tk_vexpired_has(&expired, &point->at))
		rc = tk_err_set(err, TK_ECONFLICT, "the content of this point expired here");
	return rc;
}

static enum tk_rc
publish_new(struct tk_vault *vault, struct tk_vdomain *domain, const struct tk_point *point, const struct tk_buf *record, struct tk_buf *receipt,
	    struct tk_pack_names *missing, struct tk_err *err)
{
	struct tk_bytes fresh = {0};
	struct tk_grant grant;
	bool named;
	enum tk_rc rc = check_epoch(vault, domain, point, &named, err);

	memset(&grant, 0, sizeof(grant));
	/* Who is named needs no grant, which would come last: ancestors come the newest first. */
	if (!rc && !named)
		rc = find_grant(vault, domain, point, &grant, &fresh, err);
	if (!rc && !named)
		rc = check_writer(point, &grant, err);
	if (!rc)
		rc = check_parent(vault, point, err);
	if (!rc)
		rc = check_unexpired(vault, domain, point, err);
	if (rc)
		return rc;
	(void)pthread_rwlock_rdlock(&vault->refs);
	rc = trace_and_promise(vault, domain, point, record, &grant, fresh, receipt, missing, err);
	(void)pthread_rwlock_unlock(&vault->refs);
	return rc;
}

static enum tk_rc
publish_decoded(struct tk_vault *vault, const struct tk_point *point, const struct tk_buf *record, struct tk_buf *receipt,
		struct tk_pack_names *missing, struct tk_err *err)
{
	TK_AUTO(tk_vdomain_leave) struct tk_vdomain *domain = NULL;
	struct tk_point_row known;
	enum tk_rc rc = tk_vdomain_enter(vault, &point->domain, &domain, err);

	if (rc)
		return rc;
	rc = tk_vindex_point(vault->index, &point->domain, point->at.epoch, point->at.sequence, &known, err);
	if (rc == TK_ENOENT)
		return publish_new(vault, domain, point, record, receipt, missing, err);
	if (rc)
		return rc;
	if (memcmp(known.at.point.b, point->at.point.b, sizeof(known.at.point.b)) != 0)
		return tk_err_set(err, TK_ECONFLICT, "another point is known as epoch %llu sequence %llu", (unsigned long long)point->at.epoch,
			(unsigned long long)point->at.sequence);
	return repeat(vault, domain, point, record, &known, receipt, missing, err);
}

/* The point is promised by now: what goes wrong here is told to the operator, not to the source. */
static void
tidy(struct tk_vault *vault, const struct tk_id *domain)
{
	struct tk_err why;

	if (vault->driver->ops->tidy(vault->driver, &why) || tk_varchive_tidy(vault, domain, &why))
		tk_log_event(vault->log, TK_LOG_WARN, "tidy-failed", "vault=%s error=%s", vault->path, why.text);
}

enum tk_rc
tk_vault_publish(struct tk_vault *vault, const void *record, size_t len_bytes, struct tk_buf *receipt, struct tk_pack_names *missing,
		 struct tk_err *err)
{
	TK_AUTO(tk_point_release) struct tk_point point = {0};
	TK_AUTO(tk_buf_release) struct tk_buf bytes = {0};
	TK_AUTO(tk_buf_release) struct tk_buf made = {0};
	char hex[TK_VAULT_HEX_ID];
	enum tk_rc rc = tk_vault_storable(vault, err);

	missing->names = NULL;
	missing->count = 0;
	if (!rc)
		rc = tk_point_decode(record, len_bytes, &point, err);
	if (!rc)
		rc = tk_buf_put(&bytes, record, len_bytes, err);
	if (!rc)
		rc = tk_vault_flush(vault, err);
	if (!rc)
		rc = publish_decoded(vault, &point, &bytes, &made, missing, err);
	/* Asked last: loading the domain may have found the vault behind, or somebody showed it meanwhile. */
	if (!rc)
		rc = tk_vault_writable(vault, err);
	if (!rc)
		rc = tk_buf_put(receipt, made.data, made.len_bytes, err);
	if (rc)
		return rc;
	tk_hex_encode(point.domain.b, sizeof(point.domain.b), hex);
	tk_log_event(vault->log, TK_LOG_INFO, "publish", "domain=%s epoch=%llu sequence=%llu", hex, (unsigned long long)point.at.epoch,
		(unsigned long long)point.at.sequence);
	tidy(vault, &point.domain);
	return TK_OK;
}
