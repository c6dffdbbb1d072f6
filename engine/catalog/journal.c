#include "engine/catalog/journal_priv.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/fsio/publish.h"

#define BUSY_TIMEOUT_MS 10000

static const struct tk_db_migration schema[] = {
	{1,
	 "CREATE TABLE point (id INTEGER PRIMARY KEY, domain BLOB NOT NULL, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,"
	 "  point BLOB NOT NULL, state INTEGER NOT NULL, record BLOB NOT NULL, UNIQUE (domain, epoch, sequence));"
	 "CREATE TABLE epoch (domain BLOB PRIMARY KEY, epoch INTEGER NOT NULL, grant_digest BLOB NOT NULL, grant_record BLOB, opening BLOB,"
	 "  opened INTEGER NOT NULL, parent_epoch INTEGER NOT NULL, parent_sequence INTEGER NOT NULL, parent_point BLOB NOT NULL);"
	 "CREATE TABLE receipt (id INTEGER PRIMARY KEY, domain BLOB NOT NULL, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,"
	 "  point BLOB NOT NULL, site TEXT NOT NULL, incarnation BLOB NOT NULL, counter INTEGER NOT NULL, time_ns INTEGER NOT NULL,"
	 "  record BLOB, UNIQUE (domain, epoch, sequence, site, point));"
	 "CREATE TABLE mark (site TEXT PRIMARY KEY, incarnation BLOB NOT NULL, counter INTEGER NOT NULL);"
	 "CREATE TABLE site_key (site TEXT PRIMARY KEY, site_id BLOB NOT NULL, key BLOB NOT NULL);"
	 "CREATE TABLE run (id INTEGER PRIMARY KEY, domain BLOB NOT NULL, kind TEXT NOT NULL, site TEXT NOT NULL, epoch INTEGER NOT NULL,"
	 "  sequence INTEGER NOT NULL, point BLOB NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, exit_status INTEGER NOT NULL,"
	 "  text TEXT NOT NULL);"
	 "CREATE INDEX run_kind ON run (domain, kind, id);"},
	{2, "DROP TABLE mark;"
	 "CREATE TABLE mark (site TEXT PRIMARY KEY, incarnation BLOB NOT NULL, counter INTEGER NOT NULL,"
	 "  time_ns INTEGER NOT NULL, record BLOB NOT NULL);"},
	{3, "ALTER TABLE run ADD COLUMN covers INTEGER NOT NULL DEFAULT 0;"
	 "ALTER TABLE run ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;"},
	{4, "CREATE TABLE line (site TEXT NOT NULL, domain BLOB NOT NULL, epoch INTEGER NOT NULL, PRIMARY KEY (site, domain));"},
};

enum tk_rc
tk_journal_open(const char *state_dir, struct tk_journal **out, struct tk_err *err)
{
	static const struct tk_db_options options = {.create = true, .busy_timeout_ms = BUSY_TIMEOUT_MS};
	TK_AUTO(tk_journal_cleanup) struct tk_journal *journal = calloc(1, sizeof(*journal));
	char path[PATH_MAX];
	enum tk_rc rc;
	int len;

	if (!journal)
		return tk_err_set(err, TK_ENOMEM, "no memory for the journal");
	(void)pthread_mutex_init(&journal->lock, NULL);
	len = snprintf(path, sizeof(path), "%s/catalog.db", state_dir);
	if (len < 0 || (size_t)len >= sizeof(path))
		return tk_err_set(err, TK_EINVAL, "the path of the state directory is too long");
	/* Damage behind a sound header is found here, where the caller can begin anew, and not in the middle of a run. */
	if ((rc = tk_mkdir_p_at(AT_FDCWD, state_dir, 0700, err)) || (rc = tk_db_open(path, &options, &journal->db, err)) ||
	    (rc = tk_db_migrate(journal->db, schema, sizeof(schema) / sizeof(schema[0]), err)) || (rc = tk_db_check(journal->db, err)))
		return tk_err_context(err, rc, "opening the journal %s", path);
	*out = journal;
	journal = NULL;
	return TK_OK;
}

void
tk_journal_cleanup(struct tk_journal **journal)
{
	if (!*journal)
		return;
	tk_db_cleanup(&(*journal)->db);
	(void)pthread_mutex_destroy(&(*journal)->lock);
	free(*journal);
	*journal = NULL;
}

struct tk_journal *
tk_journal_lock(struct tk_journal *journal)
{
	pthread_mutex_lock(&journal->lock);
	return journal;
}

void
tk_journal_unlock(struct tk_journal **held)
{
	pthread_mutex_unlock(&(*held)->lock);
}

enum tk_rc
tk_journal_bind_head(struct tk_stmt *stmt, int index, const struct tk_head *at, struct tk_err *err)
{
	if (at->epoch > INT64_MAX || at->sequence > INT64_MAX)
		return tk_err_set(err, TK_EINVAL, "an epoch or sequence is too large for the journal");
	tk_stmt_bind_int64(stmt, index, (int64_t)at->epoch);
	tk_stmt_bind_int64(stmt, index + 1, (int64_t)at->sequence);
	tk_stmt_bind_blob(stmt, index + 2, at->point.b, sizeof(at->point.b));
	return TK_OK;
}

enum tk_rc
tk_journal_read_head(const struct tk_stmt *stmt, int index, struct tk_head *at, struct tk_err *err)
{
	at->epoch = (uint64_t)tk_stmt_int64(stmt, index);
	at->sequence = (uint64_t)tk_stmt_int64(stmt, index + 1);
	return tk_journal_read_fixed(stmt, index + 2, at->point.b, sizeof(at->point.b), err);
}

enum tk_rc
tk_journal_read_fixed(const struct tk_stmt *stmt, int index, void *dst, size_t len_bytes, struct tk_err *err)
{
	size_t got;
	const uint8_t *bytes = tk_stmt_blob(stmt, index, &got);

	if (!bytes || got != len_bytes)
		return tk_err_set(err, TK_ECORRUPT, "the journal holds %zu bytes where %zu belong", got, len_bytes);
	memcpy(dst, bytes, len_bytes);
	return TK_OK;
}

enum tk_rc
tk_journal_read_text(const struct tk_stmt *stmt, int index, char *dst, size_t size, struct tk_err *err)
{
	const char *text = tk_stmt_text(stmt, index);
	size_t len = text ? strlen(text) : size;

	if (len >= size)
		return tk_err_set(err, TK_ECORRUPT, "a text in the journal is missing or too long");
	memcpy(dst, text, len + 1);
	return TK_OK;
}

enum tk_rc
tk_journal_read_buf(const struct tk_stmt *stmt, int index, struct tk_buf *dst, struct tk_err *err)
{
	size_t len;
	const uint8_t *bytes = tk_stmt_blob(stmt, index, &len);

	tk_buf_clear(dst);
	return bytes ? tk_buf_put(dst, bytes, len, err) : TK_OK;
}

enum tk_rc
tk_journal_check_site(const char *site, struct tk_err *err)
{
	if (!*site || strlen(site) >= sizeof(((struct tk_journal_receipt *)NULL)->site))
		return tk_err_set(err, TK_EINVAL, "a site's name is empty or too long for the journal");
	return TK_OK;
}
