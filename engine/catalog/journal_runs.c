/* The history of runs, for status and list. */
#include <stdlib.h>
#include <string.h>

#include "engine/catalog/journal_priv.h"

enum tk_rc
tk_journal_add_run(struct tk_journal *journal, const struct tk_id *domain, const struct tk_run_row *row, struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc;

	if ((rc = tk_stmt_prepare(held->db,
				  "INSERT INTO run (domain, kind, site, epoch, sequence, point, start_ns, end_ns, exit_status, text, covers, depth)"
				  " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)", &stmt, err)))
		return rc;
	tk_stmt_bind_blob(&stmt, 1, domain->b, sizeof(domain->b));
	tk_stmt_bind_text(&stmt, 2, row->kind);
	tk_stmt_bind_text(&stmt, 3, row->site);
	if ((rc = tk_journal_bind_head(&stmt, 4, &row->at, err)))
		return rc;
	tk_stmt_bind_int64(&stmt, 7, row->start_ns);
	tk_stmt_bind_int64(&stmt, 8, row->end_ns);
	tk_stmt_bind_int64(&stmt, 9, row->exit_status);
	tk_stmt_bind_text(&stmt, 10, row->text);
	tk_stmt_bind_int64(&stmt, 11, row->covers);
	tk_stmt_bind_int64(&stmt, 12, row->depth);
	return tk_stmt_run(&stmt, err);
}

/* What read_run reads. */
#define RUN_COLUMNS "kind, site, epoch, sequence, point, start_ns, end_ns, exit_status, text, covers, depth"

static enum tk_rc
read_run(const struct tk_stmt *stmt, struct tk_run_row *out, struct tk_err *err)
{
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	out->start_ns = tk_stmt_int64(stmt, 5);
	out->end_ns = tk_stmt_int64(stmt, 6);
	out->exit_status = (int)tk_stmt_int64(stmt, 7);
	out->covers = (enum tk_run_covers)tk_stmt_int64(stmt, 9);
	out->depth = (enum tk_run_depth)tk_stmt_int64(stmt, 10);
	if ((rc = tk_journal_read_text(stmt, 0, out->kind, sizeof(out->kind), err)) ||
	    (rc = tk_journal_read_text(stmt, 1, out->site, sizeof(out->site), err)) || (rc = tk_journal_read_head(stmt, 2, &out->at, err)))
		return rc;
	return tk_journal_read_text(stmt, 8, out->text, sizeof(out->text), err);
}

enum tk_rc
tk_journal_last_run(struct tk_journal *journal, const struct tk_id *domain, const char *kind, const char *site, bool only_good,
		    struct tk_run_row *out, struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	bool row = false;
	enum tk_rc rc;

	if ((rc = tk_stmt_prepare(held->db,
				  "SELECT " RUN_COLUMNS " FROM run WHERE domain = ?1"
				  " AND kind = ?2 AND (?3 IS NULL OR site = ?3) AND (?4 = 0 OR exit_status = 0) ORDER BY id DESC LIMIT 1", &stmt, err)))
		return rc;
	tk_stmt_bind_blob(&stmt, 1, domain->b, sizeof(domain->b));
	tk_stmt_bind_text(&stmt, 2, kind);
	tk_stmt_bind_text(&stmt, 3, site);
	tk_stmt_bind_int64(&stmt, 4, only_good);
	if ((rc = tk_stmt_step(&stmt, &row, err)))
		return rc;
	return row ? read_run(&stmt, out, err) : tk_err_set(err, TK_ENOENT, "no %s run is in the journal", kind);
}

static enum tk_rc
collect_runs(struct tk_stmt *stmt, struct tk_buf *rows, struct tk_err *err)
{
	struct tk_run_row run;
	bool row = false;
	enum tk_rc rc;

	while (!(rc = tk_stmt_step(stmt, &row, err)) && row)
		if ((rc = read_run(stmt, &run, err)) || (rc = tk_buf_put(rows, &run, sizeof(run), err)))
			return rc;
	return rc;
}

enum tk_rc
tk_journal_verifications(struct tk_journal *journal, const struct tk_id *domain, struct tk_run_row **out, size_t *count, struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	TK_AUTO(tk_buf_release) struct tk_buf rows;
	enum tk_rc rc;

	tk_buf_init(&rows, 0);
	if ((rc = tk_stmt_prepare(held->db,
				  "SELECT " RUN_COLUMNS " FROM run WHERE domain = ?1 AND kind = 'verify' AND covers <> 0 AND exit_status IN (0, 5)"
				  " ORDER BY id DESC", &stmt, err)))
		return rc;
	tk_stmt_bind_blob(&stmt, 1, domain->b, sizeof(domain->b));
	if ((rc = collect_runs(&stmt, &rows, err)))
		return rc;
	*count = rows.len_bytes / sizeof(**out);
	*out = calloc(*count ? *count : 1, sizeof(**out));
	if (!*out)
		return tk_err_set(err, TK_ENOMEM, "no memory for the history of verifications");
	if (*count)
		memcpy(*out, rows.data, rows.len_bytes);
	return TK_OK;
}
