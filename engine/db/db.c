#include "engine/db/db_core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum tk_rc
rc_of_code(sqlite3 *raw, int code)
{
	switch (code & 0xff) {
	case SQLITE_NOMEM:
		return TK_ENOMEM;
	case SQLITE_FULL:
		return TK_ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return TK_ELOCKED;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return TK_ECORRUPT;
	case SQLITE_IOERR:
		/* Growing the -shm file on a full disk arrives as an I/O error. */
		return sqlite3_system_errno(raw) == ENOSPC || sqlite3_system_errno(raw) == EDQUOT ? TK_ENOSPC : TK_EIO;
	case SQLITE_CANTOPEN:
		return sqlite3_system_errno(raw) == ENOENT ? TK_ENOENT : TK_EIO;
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_NOLFS:
		return TK_EIO;
	case SQLITE_INTERRUPT:
		return TK_ECANCELLED;
	case SQLITE_CONSTRAINT:
		return code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY ||
			code == SQLITE_CONSTRAINT_ROWID ? TK_EEXIST : TK_EINVAL;
	default:
		return TK_EINVAL;
	}
}

enum tk_rc
tk_db_fault(const struct tk_db *db, int code, struct tk_err *err, const char *what)
{
	/* The handle's own text says more, but only if it belongs to this code. */
	bool own_text = (sqlite3_errcode(db->raw) & 0xff) == (code & 0xff);

	return tk_err_set(err, rc_of_code(db->raw, code), "database: %s: %s", what,
		own_text ? sqlite3_errmsg(db->raw) : sqlite3_errstr(code));
}

/* SQLite would make the file readable by everybody; -wal and -shm take over its mode. */
static enum tk_rc
create_private(const char *path, struct tk_err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno == EEXIST ? TK_OK : tk_err_errno(err, TK_EIO, "creating the database %s", path);
	if (close(fd) < 0)
		return tk_err_errno(err, TK_EIO, "creating the database %s", path);
	return TK_OK;
}

static enum tk_rc
enter_wal(struct tk_db *db, struct tk_err *err)
{
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(db, "PRAGMA journal_mode=WAL", &stmt, err);
	const char *mode;
	bool row;

	if (!rc)
		rc = tk_stmt_step(&stmt, &row, err);
	if (rc)
		return rc;
	mode = row ? tk_stmt_text(&stmt, 0) : NULL;
	if (!mode || strcmp(mode, "wal") != 0)
		return tk_err_set(err, TK_EUNSUPPORTED, "database: this file system cannot hold a WAL journal");
	return TK_OK;
}

static enum tk_rc
configure(struct tk_db *db, const struct tk_db_options *options, struct tk_err *err)
{
	enum tk_rc rc;

	(void)sqlite3_extended_result_codes(db->raw, 1);
	(void)sqlite3_busy_timeout(db->raw, options->busy_timeout_ms);
	/* The file may have been tampered with: its schema must not be able to run code or scribble over itself. */
	(void)sqlite3_db_config(db->raw, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(db->raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	rc = tk_db_exec(db, "PRAGMA foreign_keys=ON; PRAGMA synchronous=FULL; PRAGMA cell_size_check=ON", err);
	if (!rc && !options->read_only)
		rc = enter_wal(db, err);
	return rc;
}

enum tk_rc
tk_db_open(const char *path, const struct tk_db_options *options, struct tk_db **out, struct tk_err *err)
{
	TK_AUTO(tk_db_cleanup) struct tk_db *db = NULL;
	int flags = SQLITE_OPEN_NOMUTEX | (options->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
	int version, code;
	enum tk_rc rc;

	if (options->create && options->read_only)
		return tk_err_set(err, TK_EINVAL, "a database cannot be created read-only");
	rc = options->create ? create_private(path, err) : TK_OK;
	if (rc)
		return rc;
	db = calloc(1, sizeof(*db));
	if (!db)
		return tk_err_set(err, TK_ENOMEM, "no memory for a database handle");
	code = sqlite3_open_v2(path, &db->raw, flags, NULL);
	if (!db->raw)
		return tk_err_set(err, TK_ENOMEM, "no memory for a database handle");
	if (code != SQLITE_OK) {
		rc = tk_db_fault(db, code, err, "open");
		return tk_err_context(err, rc, "%s", path);
	}
	rc = configure(db, options, err);
	/* The first read: a file that is no database is found here, not in the middle of work. */
	if (!rc)
		rc = tk_db_version(db, &version, err);
	if (rc)
		return tk_err_context(err, rc, "%s", path);
	*out = db;
	db = NULL;
	return TK_OK;
}

void
tk_db_close(struct tk_db *db)
{
	if (!db)
		return;
	tk_db_forget_cached(db);
	/* _v2: should a statement still be out, the file stays open until it is given back. */
	(void)sqlite3_close_v2(db->raw);
	free(db);
}

void
tk_db_cleanup(struct tk_db **db)
{
	tk_db_close(*db);
	*db = NULL;
}

enum tk_rc
tk_db_exec(struct tk_db *db, const char *sql, struct tk_err *err)
{
	int code = sqlite3_exec(db->raw, sql, NULL, NULL, NULL);

	return code == SQLITE_OK ? TK_OK : tk_db_fault(db, code, err, "exec");
}

enum tk_rc
tk_db_check(struct tk_db *db, struct tk_err *err)
{
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(db, "PRAGMA quick_check(1)", &stmt, err);
	const char *verdict;
	bool row;

	if (!rc)
		rc = tk_stmt_step(&stmt, &row, err);
	if (rc)
		return rc;
	verdict = row ? tk_stmt_text(&stmt, 0) : NULL;
	if (!verdict || strcmp(verdict, "ok") != 0)
		return tk_err_set(err, TK_ECORRUPT, "database: %s", verdict ? verdict : "the check gave no result");
	return TK_OK;
}

enum tk_rc
tk_db_version(struct tk_db *db, int *version, struct tk_err *err)
{
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(db, "PRAGMA user_version", &stmt, err);
	bool row;

	if (!rc)
		rc = tk_stmt_step(&stmt, &row, err);
	if (rc)
		return rc;
	*version = row ? (int)tk_stmt_int64(&stmt, 0) : 0;
	return TK_OK;
}

/* The version is read again under the write lock: another process may have made this step meanwhile. */
static enum tk_rc
migrate_step(struct tk_db *db, const struct tk_db_migration *step, struct tk_err *err)
{
	TK_AUTO(tk_db_txn_cleanup) struct tk_db_txn txn = {0};
	char set_version[64];
	int version = 0;
	enum tk_rc rc = tk_db_txn_begin(db, &txn, err);

	if (!rc)
		rc = tk_db_version(db, &version, err);
	if (rc || version >= step->version)
		return rc;
	(void)snprintf(set_version, sizeof(set_version), "PRAGMA user_version=%d", step->version);
	rc = tk_db_exec(db, step->sql, err);
	if (!rc)
		rc = tk_db_exec(db, set_version, err);
	return rc ? rc : tk_db_txn_commit(&txn, err);
}

enum tk_rc
tk_db_migrate(struct tk_db *db, const struct tk_db_migration *rows, size_t row_count, struct tk_err *err)
{
	int version, newest = 0;
	enum tk_rc rc;

	for (size_t i = 0; i < row_count; i++) {
		if (rows[i].version <= newest)
			return tk_err_set(err, TK_EINVAL, "database: schema versions must ascend from 1");
		newest = rows[i].version;
	}
	rc = tk_db_version(db, &version, err);
	if (rc)
		return rc;
	if (version > newest)
		return tk_err_set(err, TK_EUNSUPPORTED, "database: schema version %d is newer than this program's %d", version,
			newest);
	for (size_t i = 0; i < row_count; i++) {
		rc = rows[i].version > version ? migrate_step(db, &rows[i], err) : TK_OK;
		if (rc)
			return tk_err_context(err, rc, "schema version %d", rows[i].version);
	}
	return TK_OK;
}

int64_t
tk_db_changes(const struct tk_db *db)
{
	return sqlite3_changes(db->raw);
}

int64_t
tk_db_last_rowid(const struct tk_db *db)
{
	return sqlite3_last_insert_rowid(db->raw);
}

enum tk_rc
tk_db_txn_begin(struct tk_db *db, struct tk_db_txn *txn, struct tk_err *err)
{
	enum tk_rc rc = tk_db_exec(db, "BEGIN IMMEDIATE", err);

	txn->db = rc ? NULL : db;
	return rc;
}

enum tk_rc
tk_db_txn_commit(struct tk_db_txn *txn, struct tk_err *err)
{
	enum tk_rc rc;

	/* After some faults SQLite rolls back by itself; a COMMIT then must not be mistaken for success. */
	if (!txn->db || sqlite3_get_autocommit(txn->db->raw))
		return tk_err_set(err, TK_EINVAL, "database: no transaction is pending");
	rc = tk_db_exec(txn->db, "COMMIT", err);
	if (!rc)
		txn->db = NULL;
	return rc;
}

void
tk_db_txn_cleanup(struct tk_db_txn *txn)
{
	if (txn->db && !sqlite3_get_autocommit(txn->db->raw))
		(void)sqlite3_exec(txn->db->raw, "ROLLBACK", NULL, NULL, NULL);
	txn->db = NULL;
}
