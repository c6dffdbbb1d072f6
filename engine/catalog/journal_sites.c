/* What the sites gave: receipts, the marks of their vaults, the keys they sign with. */
#include <stdlib.h>
#include <string.h>

#include "engine/catalog/journal_priv.h"

static enum tk_rc
put_receipt(struct tk_journal *journal, const struct tk_id *domain, const struct tk_head *at, const char *site, const struct tk_journal_number *number,
	    int64_t time_ns, const void *record, size_t len_bytes, struct tk_err *err)
{
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(journal->db,
					"INSERT OR REPLACE INTO receipt (domain, epoch, sequence, point, site, incarnation, counter, time_ns, record)"
					" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)", &stmt, err);

	if (rc)
		return rc;
	tk_stmt_bind_blob(&stmt, 1, domain->b, sizeof(domain->b));
	if ((rc = tk_journal_bind_head(&stmt, 2, at, err)))
		return rc;
	tk_stmt_bind_text(&stmt, 5, site);
	tk_stmt_bind_blob(&stmt, 6, number->vault_incarnation.b, sizeof(number->vault_incarnation.b));
	tk_stmt_bind_int64(&stmt, 7, (int64_t)number->counter);
	tk_stmt_bind_int64(&stmt, 8, time_ns);
	tk_stmt_bind_blob(&stmt, 9, record, len_bytes);
	return tk_stmt_run(&stmt, err);
}

/* Within one incarnation the mark only rises, in whatever order the threads of several domains bring their receipts; a receipt that is given again may be of
 * a former incarnation. */
static enum tk_rc
put_mark(struct tk_journal *journal, const char *site, const struct tk_journal_number *number, int64_t time_ns, const void *record, size_t len_bytes,
	 struct tk_err *err)
{
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(journal->db,
					"INSERT INTO mark (site, incarnation, counter, time_ns, record) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (site) DO UPDATE"
					" SET incarnation = excluded.incarnation, counter = excluded.counter, time_ns = excluded.time_ns,"
					" record = excluded.record WHERE CASE WHEN incarnation = excluded.incarnation THEN counter < excluded.counter"
					" ELSE time_ns < excluded.time_ns END", &stmt, err);

	if (rc)
		return rc;
	tk_stmt_bind_text(&stmt, 1, site);
	tk_stmt_bind_blob(&stmt, 2, number->vault_incarnation.b, sizeof(number->vault_incarnation.b));
	tk_stmt_bind_int64(&stmt, 3, (int64_t)number->counter);
	tk_stmt_bind_int64(&stmt, 4, time_ns);
	tk_stmt_bind_blob(&stmt, 5, record, len_bytes);
	return tk_stmt_run(&stmt, err);
}

static enum tk_rc
check_number(const char *site, const struct tk_journal_number *number, struct tk_err *err)
{
	enum tk_rc rc = tk_journal_check_site(site, err);

	if (!rc && number->counter > INT64_MAX)
		rc = tk_err_set(err, TK_EINVAL, "the number of a site's promise is too large for the journal");
	return rc;
}

enum tk_rc
tk_journal_add_receipt(struct tk_journal *journal, const struct tk_id *domain, const struct tk_head *at, const char *site,
		       const struct tk_journal_number *number, int64_t time_ns, const void *record, size_t len_bytes, struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);
	TK_AUTO(tk_db_txn_cleanup) struct tk_db_txn txn = {0};
	enum tk_rc rc = check_number(site, number, err);

	if (rc || (rc = tk_db_txn_begin(held->db, &txn, err)) ||
	    (rc = put_receipt(held, domain, at, site, number, time_ns, record, len_bytes, err)) ||
	    (rc = put_mark(held, site, number, time_ns, record, len_bytes, err)))
		return rc;
	return tk_db_txn_commit(&txn, err);
}

enum tk_rc
tk_journal_add_vote(struct tk_journal *journal, const char *site, const struct tk_journal_number *number, int64_t time_ns, const void *record,
		    size_t len_bytes, struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);
	enum tk_rc rc = check_number(site, number, err);

	return rc ? rc : put_mark(held, site, number, time_ns, record, len_bytes, err);
}

enum tk_rc
tk_journal_site_mark(struct tk_journal *journal, const char *site, struct tk_buf *record, struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	bool row = false;
	enum tk_rc rc;

	if ((rc = tk_stmt_prepare(held->db, "SELECT record FROM mark WHERE site = ?1", &stmt, err)))
		return rc;
	tk_stmt_bind_text(&stmt, 1, site);
	if ((rc = tk_stmt_step(&stmt, &row, err)))
		return rc;
	if (!row)
		return tk_err_set(err, TK_ENOENT, "site %s never promised anything", site);
	return tk_journal_read_buf(&stmt, 0, record, err);
}

static enum tk_rc
collect_receipts(struct tk_stmt *stmt, struct tk_buf *rows, struct tk_err *err)
{
	struct tk_journal_receipt receipt;
	bool row = false;
	enum tk_rc rc;

	while (!(rc = tk_stmt_step(stmt, &row, err)) && row) {
		memset(&receipt, 0, sizeof(receipt));
		receipt.time_ns = tk_stmt_int64(stmt, 4);
		if ((rc = tk_journal_read_head(stmt, 0, &receipt.at, err)) ||
		    (rc = tk_journal_read_text(stmt, 3, receipt.site, sizeof(receipt.site), err)) ||
		    (rc = tk_buf_put(rows, &receipt, sizeof(receipt), err)))
			return rc;
	}
	return rc;
}

enum tk_rc
tk_journal_receipts(struct tk_journal *journal, const struct tk_id *domain, struct tk_journal_receipt **out, size_t *count, struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	TK_AUTO(tk_buf_release) struct tk_buf rows;
	enum tk_rc rc;

	tk_buf_init(&rows, 0);
	if ((rc = tk_stmt_prepare(held->db,
				  "SELECT epoch, sequence, point, site, time_ns FROM receipt WHERE domain = ?1 ORDER BY epoch, sequence, point, site",
				  &stmt, err)))
		return rc;
	tk_stmt_bind_blob(&stmt, 1, domain->b, sizeof(domain->b));
	if ((rc = collect_receipts(&stmt, &rows, err)))
		return rc;
	*count = rows.len_bytes / sizeof(**out);
	*out = calloc(*count ? *count : 1, sizeof(**out));
	if (!*out)
		return tk_err_set(err, TK_ENOMEM, "no memory for the receipts of the journal");
	if (*count)
		memcpy(*out, rows.data, rows.len_bytes);
	return TK_OK;
}

static enum tk_rc
find_key(struct tk_journal *journal, const char *site, struct tk_id *site_id, uint8_t key[TK_KEY_BYTES], struct tk_err *err)
{
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	bool row = false;
	enum tk_rc rc;

	if ((rc = tk_stmt_prepare(journal->db, "SELECT site_id, key FROM site_key WHERE site = ?1", &stmt, err)))
		return rc;
	tk_stmt_bind_text(&stmt, 1, site);
	if ((rc = tk_stmt_step(&stmt, &row, err)))
		return rc;
	if (!row)
		return tk_err_set(err, TK_ENOENT, "no key of site %s is known yet", site);
	rc = tk_journal_read_fixed(&stmt, 0, site_id->b, sizeof(site_id->b), err);
	return rc ? rc : tk_journal_read_fixed(&stmt, 1, key, TK_KEY_BYTES, err);
}

enum tk_rc
tk_journal_site_key(struct tk_journal *journal, const char *site, struct tk_id *site_id, uint8_t key[TK_KEY_BYTES], struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);

	return find_key(held, site, site_id, key, err);
}

enum tk_rc
tk_journal_pin_site(struct tk_journal *journal, const char *site, const struct tk_id *site_id, const uint8_t key[TK_KEY_BYTES],
		    struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	struct tk_id pinned_id;
	uint8_t pinned_key[TK_KEY_BYTES];
	enum tk_rc rc = tk_journal_check_site(site, err);

	if (rc)
		return rc;
	rc = find_key(held, site, &pinned_id, pinned_key, err);
	if (rc == TK_OK && (memcmp(&pinned_id, site_id, sizeof(pinned_id)) != 0 || memcmp(pinned_key, key, TK_KEY_BYTES) != 0))
		return tk_err_set(err, TK_ECONFLICT, "site %s shows another key than the one that is pinned", site);
	if (rc != TK_ENOENT)
		return rc;
	tk_err_clear(err);
	if ((rc = tk_stmt_prepare(held->db, "INSERT INTO site_key (site, site_id, key) VALUES (?1, ?2, ?3)", &stmt, err)))
		return rc;
	tk_stmt_bind_text(&stmt, 1, site);
	tk_stmt_bind_blob(&stmt, 2, site_id->b, sizeof(site_id->b));
	tk_stmt_bind_blob(&stmt, 3, key, TK_KEY_BYTES);
	return tk_stmt_run(&stmt, err);
}

static enum tk_rc
change_rows(struct tk_journal *journal, const char *sql, const char *site, struct tk_err *err)
{
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(journal->db, sql, &stmt, err);

	if (rc)
		return rc;
	tk_stmt_bind_text(&stmt, 1, site);
	return tk_stmt_run(&stmt, err);
}

enum tk_rc
tk_journal_forget_site(struct tk_journal *journal, const char *site, struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);
	TK_AUTO(tk_db_txn_cleanup) struct tk_db_txn txn = {0};
	uint8_t key[TK_KEY_BYTES];
	struct tk_id id;
	enum tk_rc rc = find_key(held, site, &id, key, err);

	/* The mark goes with the pin: shown to a new vault, it would look as if that one had been rolled back. */
	if (rc || (rc = tk_db_txn_begin(held->db, &txn, err)) || (rc = change_rows(held, "DELETE FROM site_key WHERE site = ?1", site, err)) ||
	    (rc = change_rows(held, "DELETE FROM mark WHERE site = ?1", site, err)) ||
	    (rc = change_rows(held, "DELETE FROM line WHERE site = ?1", site, err)) ||
	    (rc = change_rows(held, "UPDATE run SET covers = 0 WHERE kind = 'verify' AND site = ?1", site, err)))
		return rc;
	return tk_db_txn_commit(&txn, err);
}

enum tk_rc
tk_journal_set_line(struct tk_journal *journal, const char *site, const struct tk_id *domain, uint64_t epoch, struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_journal_check_site(site, err);

	if (!rc && epoch > INT64_MAX)
		rc = tk_err_set(err, TK_EINVAL, "an epoch is too large for the journal");
	if (rc || (rc = tk_stmt_prepare(held->db, "INSERT OR REPLACE INTO line (site, domain, epoch) VALUES (?1, ?2, ?3)", &stmt, err)))
		return rc;
	tk_stmt_bind_text(&stmt, 1, site);
	tk_stmt_bind_blob(&stmt, 2, domain->b, sizeof(domain->b));
	tk_stmt_bind_int64(&stmt, 3, (int64_t)epoch);
	return tk_stmt_run(&stmt, err);
}

enum tk_rc
tk_journal_get_line(struct tk_journal *journal, const char *site, const struct tk_id *domain, uint64_t *epoch, struct tk_err *err)
{
	TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	bool row = false;
	enum tk_rc rc = tk_stmt_prepare(held->db, "SELECT epoch FROM line WHERE site = ?1 AND domain = ?2", &stmt, err);

	*epoch = 0;
	if (rc)
		return rc;
	tk_stmt_bind_text(&stmt, 1, site);
	tk_stmt_bind_blob(&stmt, 2, domain->b, sizeof(domain->b));
	if (!(rc = tk_stmt_step(&stmt, &row, err)) && row)
		*epoch = (uint64_t)tk_stmt_int64(&stmt, 0);
	return rc;
}
