/* Points of the journal: written before they are sent, and never twice under one number. */
#include <stdlib.h>
#include <string.h>

#include "engine/catalog/journal_priv.h"

/* The row of a point, if there is one: columns are 1 state, 2 record. Another point under its number is TK_ECONFLICT. */
static enum tk_rc
find_point(struct tk_journal *journal, const struct tk_id *domain, const struct tk_head *at, struct tk_stmt *stmt, bool *found, struct tk_err *err)
{
	enum tk_rc rc = tk_stmt_prepare(journal->db,
					"SELECT point = ?4, state, record FROM point WHERE domain = ?1 AND epoch = ?2 AND sequence = ?3", stmt, err);

	if (rc)
		return rc;
	tk_stmt_bind_blob(stmt, 1, domain->b, sizeof(domain->b));
	if ((rc = tk_journal_bind_head(stmt, 2, at, err)) || (rc = tk_stmt_step(stmt, found, err)))
		return rc;
	if (*found && !tk_stmt_int64(stmt, 0))
		return tk_err_set(err, TK_ECONFLICT, "the journal holds another point as epoch %llu sequence %llu", (unsigned long long)at->epoch,
				  (unsigned long long)at->sequence);
	return TK_OK;
}

static enum tk_rc
insert_point(struct tk_journal *journal, const struct tk_id *domain, const struct tk_head *at, const void *record, size_t len_bytes,
	     enum tk_point_state state, struct tk_err *err)
{
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(journal->db,
					"INSERT INTO point (domain, epoch, sequence, point, state, record) VALUES (?1, ?2, ?3, ?4, ?5, ?6)", &stmt, err);

	if (rc)
		return rc;
	tk_stmt_bind_blob(&stmt, 1, domain->b, sizeof(domain->b));
	if ((rc = tk_journal_bind_head(&stmt, 2, at, err)))
		return rc;
	tk_stmt_bind_int64(&stmt, 5, state);
	tk_stmt_bind_blob(&stmt, 6, record, len_bytes);
	return tk_stmt_run(&stmt, err);
}

enum tk_rc
tk_journal_add_point(struct tk_journal *journal, const struct tk_id *domain, const struct tk_head *at, const void *record, size_t len_bytes,
		     enum tk_point_state state, struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	bool found = false;
	enum tk_rc rc;

	if (len_bytes == 0)
		return tk_err_set(err, TK_EINVAL, "a point without a record");
	/* The same point again is harmless: a run that died after its commit does it again. */
	if ((rc = find_point(held, domain, at, &stmt, &found, err)) || found)
		return rc;
	return insert_point(held, domain, at, record, len_bytes, state, err);
}

static enum tk_rc
update_state(struct tk_journal *journal, const struct tk_id *domain, const struct tk_head *at, enum tk_point_state state, struct tk_err *err)
{
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(journal->db, "UPDATE point SET state = ?5 WHERE domain = ?1 AND epoch = ?2 AND sequence = ?3 AND point = ?4",
					&stmt, err);

	if (rc)
		return rc;
	tk_stmt_bind_blob(&stmt, 1, domain->b, sizeof(domain->b));
	if ((rc = tk_journal_bind_head(&stmt, 2, at, err)))
		return rc;
	tk_stmt_bind_int64(&stmt, 5, state);
	return tk_stmt_run(&stmt, err);
}

enum tk_rc
tk_journal_set_state(struct tk_journal *journal, const struct tk_id *domain, const struct tk_head *at, enum tk_point_state state,
		     struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	bool found = false;
	int64_t before;
	enum tk_rc rc;

	if ((rc = find_point(held, domain, at, &stmt, &found, err)))
		return rc;
	if (!found)
		return tk_err_set(err, TK_ENOENT, "the journal does not know the point");
	before = tk_stmt_int64(&stmt, 1);
	tk_stmt_cleanup(&stmt);
	if (before == (int64_t)state)
		return TK_OK;
	if (state == TK_POINT_JOURNALED)
		return tk_err_set(err, TK_EINVAL, "a point that is stored or abandoned does not become pending again");
	return update_state(held, domain, at, state, err);
}

static enum tk_rc
collect_points(struct tk_stmt *stmt, struct tk_buf *rows, struct tk_err *err)
{
	struct tk_journal_point point;
	bool row = false;
	enum tk_rc rc;

	while (!(rc = tk_stmt_step(stmt, &row, err)) && row) {
		memset(&point, 0, sizeof(point));
		point.state = (enum tk_point_state)tk_stmt_int64(stmt, 3);
		if ((rc = tk_journal_read_head(stmt, 0, &point.at, err)) || (rc = tk_buf_put(rows, &point, sizeof(point), err)))
			return rc;
	}
	return rc;
}

enum tk_rc
tk_journal_points(struct tk_journal *journal, const struct tk_id *domain, struct tk_journal_point **out, size_t *count, struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	TK_AUTO(tk_buf_release) struct tk_buf rows;
	enum tk_rc rc;

	tk_buf_init(&rows, 0);
	if ((rc = tk_stmt_prepare(held->db, "SELECT epoch, sequence, point, state FROM point WHERE domain = ?1 ORDER BY epoch, sequence", &stmt, err)))
		return rc;
	tk_stmt_bind_blob(&stmt, 1, domain->b, sizeof(domain->b));
	if ((rc = collect_points(&stmt, &rows, err)))
		return rc;
	*count = rows.len_bytes / sizeof(**out);
	*out = calloc(*count ? *count : 1, sizeof(**out));
	if (!*out)
		return tk_err_set(err, TK_ENOMEM, "no memory for the points of the journal");
	if (*count)
		memcpy(*out, rows.data, rows.len_bytes);
	return TK_OK;
}

enum tk_rc
tk_journal_get_point(struct tk_journal *journal, const struct tk_id *domain, const struct tk_head *at, struct tk_buf *record, struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	bool found = false;
	enum tk_rc rc = find_point(held, domain, at, &stmt, &found, err);

	if (rc)
		return rc;
	return found ? tk_journal_read_buf(&stmt, 2, record, err) : tk_err_set(err, TK_ENOENT, "the journal does not know the point");
}
