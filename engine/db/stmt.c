#include "engine/db/db_core.h"

#include <string.h>

void
tk_db_forget_cached(struct tk_db *db)
{
	for (size_t i = 0; i < TK_DB_CACHED_MAX; i++) {
		(void)sqlite3_finalize(db->cached[i].raw);
		db->cached[i].raw = NULL;
	}
}

static sqlite3_stmt *
cached_take(struct tk_db *db, const char *sql)
{
	sqlite3_stmt *raw;

	for (size_t i = 0; i < TK_DB_CACHED_MAX; i++) {
		raw = db->cached[i].raw;
		if (raw && strcmp(sqlite3_sql(raw), sql) == 0) {
			db->cached[i].raw = NULL;
			return raw;
		}
	}
	return NULL;
}

static void
cached_put(struct tk_db *db, sqlite3_stmt *raw)
{
	size_t slot = 0;

	for (size_t i = 0; i < TK_DB_CACHED_MAX; i++) {
		if (!db->cached[i].raw) {
			slot = i;
			break;
		}
		if (db->cached[i].released_at < db->cached[slot].released_at)
			slot = i;
	}
	(void)sqlite3_finalize(db->cached[slot].raw);
	db->cached[slot].raw = raw;
	db->cached[slot].released_at = db->releases++;
}

enum tk_rc
tk_stmt_prepare(struct tk_db *db, const char *sql, struct tk_stmt *stmt, struct tk_err *err)
{
	int code;

	stmt->db = db;
	stmt->fault = SQLITE_OK;
	stmt->raw = cached_take(db, sql);
	if (stmt->raw)
		return TK_OK;
	code = sqlite3_prepare_v3(db->raw, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt->raw, NULL);
	if (code != SQLITE_OK)
		return tk_db_fault(db, code, err, sql);
	return stmt->raw ? TK_OK : tk_err_set(err, TK_EINVAL, "database: an empty statement");
}

static void
bind_note(struct tk_stmt *stmt, int code)
{
	if (stmt->fault == SQLITE_OK)
		stmt->fault = code;
}

void
tk_stmt_bind_int64(struct tk_stmt *stmt, int index, int64_t value)
{
	bind_note(stmt, sqlite3_bind_int64(stmt->raw, index, value));
}

void
tk_stmt_bind_text(struct tk_stmt *stmt, int index, const char *text)
{
	bind_note(stmt, sqlite3_bind_text(stmt->raw, index, text, -1, SQLITE_TRANSIENT));
}

void
tk_stmt_bind_blob(struct tk_stmt *stmt, int index, const void *data, size_t len_bytes)
{
	bind_note(stmt, sqlite3_bind_blob64(stmt->raw, index, data, len_bytes, SQLITE_TRANSIENT));
}

void
tk_stmt_bind_null(struct tk_stmt *stmt, int index)
{
	bind_note(stmt, sqlite3_bind_null(stmt->raw, index));
}

enum tk_rc
tk_stmt_step(struct tk_stmt *stmt, bool *row, struct tk_err *err)
{
	int code = stmt->fault;

	*row = false;
	if (code != SQLITE_OK)
		return tk_db_fault(stmt->db, code, err, sqlite3_sql(stmt->raw));
	code = sqlite3_step(stmt->raw);
	*row = code == SQLITE_ROW;
	if (code == SQLITE_ROW || code == SQLITE_DONE)
		return TK_OK;
	return tk_db_fault(stmt->db, code, err, sqlite3_sql(stmt->raw));
}

enum tk_rc
tk_stmt_run(struct tk_stmt *stmt, struct tk_err *err)
{
	enum tk_rc rc;
	bool row;

	do {
		rc = tk_stmt_step(stmt, &row, err);
	} while (!rc && row);
	tk_stmt_reset(stmt);
	return rc;
}

bool
tk_stmt_is_null(const struct tk_stmt *stmt, int index)
{
	return sqlite3_column_type(stmt->raw, index) == SQLITE_NULL;
}

int64_t
tk_stmt_int64(const struct tk_stmt *stmt, int index)
{
	return sqlite3_column_int64(stmt->raw, index);
}

const char *
tk_stmt_text(const struct tk_stmt *stmt, int index)
{
	const void *text = sqlite3_column_text(stmt->raw, index);

	return text;
}

const uint8_t *
tk_stmt_blob(const struct tk_stmt *stmt, int index, size_t *len_bytes)
{
	const void *data = sqlite3_column_blob(stmt->raw, index);

	*len_bytes = data ? (size_t)sqlite3_column_bytes(stmt->raw, index) : 0;
	return data;
}

void
tk_stmt_reset(struct tk_stmt *stmt)
{
	/* Reset repeats the code of a failed step, which was reported already. */
	(void)sqlite3_reset(stmt->raw);
	(void)sqlite3_clear_bindings(stmt->raw);
	stmt->fault = SQLITE_OK;
}

void
tk_stmt_cleanup(struct tk_stmt *stmt)
{
	if (!stmt->raw)
		return;
	tk_stmt_reset(stmt);
	cached_put(stmt->db, stmt->raw);
	stmt->raw = NULL;
}
