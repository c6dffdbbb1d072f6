#include "engine/vault/vault_expire.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/fault.h"
#include "engine/vault/vault_condemn.h"

/* What becomes durable, in this order (docs/DURABILITY.md):
 *   1. the list of expired points      file, fsync; from here on the points are expired
 *   2. one SQLite transaction          counts, condemned blobs, the points' rows
 * A failure between them leaves the domain not loaded: whoever enters it next does what the list says. */

struct expiry {
	struct tk_vault *vault;
	struct tk_vdomain *domain;
	struct tk_vcondemn condemn;
	struct tk_point_row *rows;             /* that expire, ascending */
	size_t count;
};

static int
compare_rows(const void *a, const void *b)
{
	const struct tk_point_row *x = a, *y = b;

	return tk_head_compare(&x->at, &y->at);
}

static bool
is_whole(const struct tk_point_row *row)
{
	return row->state == TK_POINT_WHOLE;
}

/* First what is counted: only then is known what the others may take with them. */
static enum tk_rc
condemn_all(struct expiry *self, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < self->count && !rc; i++)
		if (is_whole(&self->rows[i]))
			rc = tk_vcondemn_whole(&self->condemn, &self->rows[i], err);
	for (size_t i = 0; i < self->count && !rc; i++)
		if (!is_whole(&self->rows[i]))
			rc = tk_vcondemn_uncounted(&self->condemn, &self->rows[i], err);
	return rc ? rc : tk_vcondemn_rest(&self->condemn, err);
}

static enum tk_rc
commit(struct expiry *self, struct tk_err *err)
{
	TK_AUTO(tk_vindex_txn_cleanup) struct tk_vindex_txn txn = {0};
	enum tk_rc rc = tk_fault_point("expire.index", err);

	if (!rc)
		rc = tk_vindex_begin(self->vault->index, &txn, err);
	if (!rc)
		rc = tk_vwalk_store(&self->condemn.walk, err);
	for (size_t i = 0; i < self->count && !rc; i++) {
		self->rows[i].state = TK_POINT_EXPIRED;
		rc = tk_vindex_put_point(self->vault->index, &self->rows[i], err);
	}
	if (!rc)
		rc = tk_fault_point("expire.commit", err);
	return rc ? rc : tk_vindex_commit(&txn, err);
}

/* ---- points that a caller names ---- */

static enum tk_rc
refuse(const struct tk_head *at, enum tk_rc rc, const char *why, struct tk_err *err)
{
	return tk_err_set(err, rc, "point %llu of epoch %llu %s", (unsigned long long)at->sequence, (unsigned long long)at->epoch, why);
}

static enum tk_rc
choose_one(struct expiry *self, const struct tk_head *at, struct tk_err *err)
{
	struct tk_point_row *row = &self->rows[self->count];
	enum tk_rc rc = tk_vindex_point(self->vault->index, &self->domain->id, at->epoch, at->sequence, row, err);

	if (rc)
		return rc == TK_ENOENT ? refuse(at, TK_ENOENT, "is not known here", err) : rc;
	if (tk_point_is_expired(row->state))
		return TK_OK;
	if (tk_head_compare(&row->at, &self->domain->head) == 0)
		return refuse(at, TK_EINVAL, "is the newest whole one, on which the next builds: it does not expire", err);
	self->count++;
	return TK_OK;
}

static void
drop_twins(struct expiry *self)
{
	size_t kept = 0;

	qsort(self->rows, self->count, sizeof(*self->rows), compare_rows);
	for (size_t i = 0; i < self->count; i++)
		if (kept == 0 || compare_rows(&self->rows[kept - 1], &self->rows[i]) != 0)
			self->rows[kept++] = self->rows[i];
	self->count = kept;
}

/* Of a point that is not whole nothing is counted, so that what is left of it would go with any other. It must be made whole again first, or go itself. */
static enum tk_rc
check_broken(struct expiry *self, struct tk_err *err)
{
	struct tk_point_row *broken = NULL;
	size_t count = 0;
	enum tk_rc rc = tk_vindex_points_in(self->vault->index, &self->domain->id, TK_POINT_BROKEN, &broken, &count, err);

	for (size_t i = 0; i < count && !rc; i++)
		if (!bsearch(&broken[i], self->rows, self->count, sizeof(*self->rows), compare_rows))
			rc = refuse(&broken[i].at, TK_ECONFLICT, "is not whole here: it is healed, or expires, before others do", err);
	free(broken);
	return rc;
}

static enum tk_rc
choose(struct expiry *self, const struct tk_head *points, size_t count, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	self->rows = calloc(count + 1, sizeof(*self->rows));
	if (!self->rows)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu points", count);
	for (size_t i = 0; i < count && !rc; i++)
		rc = choose_one(self, &points[i], err);
	if (rc || self->count == 0)
		return rc;
	drop_twins(self);
	return check_broken(self, err);
}

/* With `refs` held shared: publishers of other domains have no part in this one's packs, and condemn and drop wait. */
static enum tk_rc
expire_chosen(struct expiry *self, struct tk_err *err)
{
	enum tk_rc rc = condemn_all(self, err);

	if (rc)
		return rc;
	tk_vdomain_promise_begin(self->vault, self->domain);
	rc = tk_vexpired_add(self->vault, &self->domain->id, self->rows, self->count, err);
	if (!rc)
		rc = commit(self, err);
	if (rc)
		return rc;
	if (tk_head_compare(&self->domain->expired_last, &self->rows[self->count - 1].at) < 0)
		self->domain->expired_last = self->rows[self->count - 1].at;
	tk_vdomain_promise_end(self->vault, self->domain);
	return tk_fault_point("expire.told", err);
}

static void
tell(const struct expiry *self, struct tk_vault_expiry *out)
{
	out->points = self->count;
	out->blobs = self->condemn.blobs;
	out->sealed_bytes = self->condemn.sealed_bytes;
	out->packs_read = self->condemn.walk.indexes_read;
	out->refs_followed = self->condemn.walk.refs_followed;
}

static enum tk_rc
expire_entered(struct expiry *self, const struct tk_head *points, size_t count, struct tk_vault_expiry *out, struct tk_err *err)
{
	enum tk_rc rc = choose(self, points, count, err);

	if (rc || self->count == 0)
		return rc;
	(void)pthread_rwlock_rdlock(&self->vault->refs);
	rc = expire_chosen(self, err);
	(void)pthread_rwlock_unlock(&self->vault->refs);
	if (rc)
		return rc;
	tell(self, out);
	tk_log_event(self->vault->log, TK_LOG_INFO, "expire", "points=%zu blobs=%llu sealed_bytes=%llu", self->count,
		     (unsigned long long)self->condemn.blobs, (unsigned long long)self->condemn.sealed_bytes);
	return TK_OK;
}

enum tk_rc
tk_vault_expire(struct tk_vault *vault, const struct tk_id *domain_id, const struct tk_head *points, size_t count, struct tk_vault_expiry *out,
		struct tk_err *err)
{
	TK_AUTO(tk_vdomain_leave) struct tk_vdomain *domain = NULL;
	struct expiry self = {.vault = vault};
	enum tk_rc rc = tk_vault_writable(vault, err);

	*out = (struct tk_vault_expiry){0};
	if (!rc)
		rc = tk_vdomain_enter(vault, domain_id, &domain, err);
	if (rc)
		return rc;
	self.domain = domain;
	rc = tk_vcondemn_init(&self.condemn, vault, domain_id, err);
	if (!rc)
		rc = expire_entered(&self, points, count, out, err);
	tk_vcondemn_release(&self.condemn);
	free(self.rows);
	return rc;
}

/* ---- what was left undone ---- */

/* Leaves in *rows those that the list names and no transaction let go of. *broken: of those that stay, one is not whole. */
static void
choose_undone(struct tk_point_row *rows, size_t *count, const struct tk_vexpired *list, bool *broken)
{
	size_t kept = 0;

	*broken = false;
	for (size_t i = 0; i < *count; i++) {
		bool listed = tk_vexpired_has(list, &rows[i].at);

		*broken |= !listed && rows[i].state == TK_POINT_BROKEN;
		if (listed && rows[i].state != TK_POINT_EXPIRED)
			rows[kept++] = rows[i];
	}
	*count = kept;
}

/* A point that is not whole keeps what it may need: until it is healed or expires, only what was counted is let go of. That the others expired is known all the same. */
static enum tk_rc
leave_uncounted(struct expiry *self, struct tk_err *err)
{
	size_t kept = 0;
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < self->count && !rc; i++) {
		struct tk_point_row *row = &self->rows[i];

		if (is_whole(row)) {
			self->rows[kept++] = *row;
		} else if (row->state == TK_POINT_BROKEN) {
			row->state = TK_POINT_EXPIRING;
			rc = tk_vindex_put_point(self->vault->index, row, err);
		}
	}
	self->count = kept;
	return rc;
}

static enum tk_rc
finish(struct expiry *self, struct tk_err *err)
{
	struct tk_err why;
	enum tk_rc rc = tk_vcondemn_init(&self->condemn, self->vault, &self->domain->id, &why);

	(void)pthread_rwlock_rdlock(&self->vault->refs);
	if (!rc)
		rc = condemn_all(self, &why);
	if (!rc)
		rc = commit(self, &why);
	(void)pthread_rwlock_unlock(&self->vault->refs);
	if (rc == TK_ECORRUPT || rc == TK_ENOENT || rc == TK_EUNSUPPORTED || rc == TK_EDENIED) {
		tk_log_event(self->vault->log, TK_LOG_ERROR, "expiry-postponed", "points=%zu error=%s", self->count, why.text);
		rc = TK_OK;
	}
	if (rc && err)
		*err = why;
	tk_vcondemn_release(&self->condemn);
	return rc;
}

enum tk_rc
tk_vexpire_settle(struct tk_vault *vault, struct tk_vdomain *domain, const struct tk_vexpired *list, struct tk_err *err)
{
	struct expiry self = {.vault = vault, .domain = domain};
	bool broken = false;
	enum tk_rc rc = TK_OK;

	if (list->rows.len_bytes == 0)
		return TK_OK;
	rc = tk_vindex_points(vault->index, &domain->id, &self.rows, &self.count, err);
	if (rc)
		return rc;
	choose_undone(self.rows, &self.count, list, &broken);
	if (broken)
		rc = leave_uncounted(&self, err);
	if (!rc && self.count > 0)
		rc = finish(&self, err);
	free(self.rows);
	return rc;
}

enum tk_rc
tk_vexpire_forget(struct tk_vault *vault, const struct tk_point_row *row, struct tk_err *err)
{
	TK_AUTO(tk_vindex_txn_cleanup) struct tk_vindex_txn txn = {0};
	struct tk_vcondemn condemn;
	struct tk_err why;
	bool counted;
	enum tk_rc rc = tk_vcondemn_init(&condemn, vault, &row->domain, err);

	(void)pthread_rwlock_rdlock(&vault->refs);
	counted = !rc && is_whole(row) && !tk_vcondemn_whole(&condemn, row, &why) && !tk_vcondemn_rest(&condemn, &why);
	if (!rc)
		rc = tk_vindex_begin(vault->index, &txn, err);
	if (!rc && counted)
		rc = tk_vwalk_store(&condemn.walk, err);
	if (!rc)
		rc = tk_vindex_drop_point(vault->index, &row->domain, row->at.epoch, row->at.sequence, err);
	if (!rc)
		rc = tk_vindex_commit(&txn, err);
	(void)pthread_rwlock_unlock(&vault->refs);
	tk_vcondemn_release(&condemn);
	return rc;
}
