/* The epoch that this writer holds in each domain. */
#include <string.h>

#include "engine/catalog/journal_priv.h"

void
tk_epoch_release(struct tk_epoch *epoch)
{
	tk_buf_release(&epoch->grant);
	tk_buf_release(&epoch->opening);
}

static enum tk_rc
read_epoch(const struct tk_stmt *stmt, struct tk_epoch *out, struct tk_err *err)
{
	enum tk_rc rc;

	out->epoch = (uint64_t)tk_stmt_int64(stmt, 0);
	out->opened = tk_stmt_int64(stmt, 4) != 0;
	if ((rc = tk_journal_read_fixed(stmt, 1, out->grant_digest.b, sizeof(out->grant_digest.b), err)) ||
	    (rc = tk_journal_read_buf(stmt, 2, &out->grant, err)) || (rc = tk_journal_read_buf(stmt, 3, &out->opening, err)))
		return rc;
	return tk_journal_read_head(stmt, 5, &out->parent, err);
}

enum tk_rc
tk_journal_get_epoch(struct tk_journal *journal, const struct tk_id *domain, struct tk_epoch *out, struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	bool row = false;
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	tk_buf_init(&out->grant, 0);
	tk_buf_init(&out->opening, 0);
	if ((rc = tk_stmt_prepare(held->db,
				  "SELECT epoch, grant_digest, grant_record, opening, opened, parent_epoch, parent_sequence, parent_point"
				  " FROM epoch WHERE domain = ?1", &stmt, err)))
		return rc;
	tk_stmt_bind_blob(&stmt, 1, domain->b, sizeof(domain->b));
	if ((rc = tk_stmt_step(&stmt, &row, err)))
		return rc;
	if (!row)
		return tk_err_set(err, TK_ENOENT, "the journal holds no epoch of this domain");
	rc = read_epoch(&stmt, out, err);
	if (rc)
		tk_epoch_release(out);
	return rc;
}

enum tk_rc
tk_journal_set_epoch(struct tk_journal *journal, const struct tk_id *domain, const struct tk_epoch *epoch, struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc;

	if (epoch->epoch > INT64_MAX)
		return tk_err_set(err, TK_EINVAL, "an epoch is too large for the journal");
	if ((rc = tk_stmt_prepare(held->db,
				  "INSERT OR REPLACE INTO epoch (domain, epoch, grant_digest, grant_record, opening, opened, parent_epoch,"
				  " parent_sequence, parent_point) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)", &stmt, err)))
		return rc;
	tk_stmt_bind_blob(&stmt, 1, domain->b, sizeof(domain->b));
	tk_stmt_bind_int64(&stmt, 2, (int64_t)epoch->epoch);
	tk_stmt_bind_blob(&stmt, 3, epoch->grant_digest.b, sizeof(epoch->grant_digest.b));
	tk_stmt_bind_blob(&stmt, 4, epoch->grant.data, epoch->grant.len_bytes);
	tk_stmt_bind_blob(&stmt, 5, epoch->opening.data, epoch->opening.len_bytes);
	tk_stmt_bind_int64(&stmt, 6, epoch->opened);
	if ((rc = tk_journal_bind_head(&stmt, 7, &epoch->parent, err)))
		return rc;
	return tk_stmt_run(&stmt, err);
}
