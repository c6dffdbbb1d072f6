/* db.h -- SQLite behind a narrow door: for the local catalog and for a site's index.
 *
 * A database is a cache or an index of facts that also live in files; it is durable all the same: WAL journal,
 * synchronous=FULL, so that what a commit returned TK_OK for survives a power cut.
 *
 * Threads: a handle, its statements and its transaction are used by one thread at a time. Threads that work side by
 * side open a handle each; processes too.
 *
 * Errors of every fallible function, besides what is named with it: TK_ENOMEM; TK_ENOSPC (disk full); TK_ELOCKED (another
 * handle kept the lock longer than the busy timeout); TK_ECORRUPT (damaged, or not a database); TK_EIO; TK_EEXIST (a
 * unique key is taken); TK_EINVAL (wrong SQL, another constraint, or misuse). */
#ifndef TK_DB_DB_H
#define TK_DB_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

struct tk_db;        /* one open database */
struct sqlite3_stmt; /* SQLite's own; not for callers */

struct tk_db_options {
	bool create;         /* make it (mode 0600) when it is not there */
	bool read_only;      /* excludes create */
	int busy_timeout_ms; /* how long to wait for another handle's lock; 0: not at all */
};

/*
 * Opens the database file at `path`; its -wal and -shm files lie beside it. A file that is to be created must not be
 * opened by two threads of a process at once. On TK_OK the caller owns *out. Errors: TK_ENOENT (not there and not
 * to be created), TK_EUNSUPPORTED (the file system cannot hold a WAL database).
 */
TK_MUST_CHECK enum tk_rc tk_db_open(const char *path, const struct tk_db_options *options, struct tk_db **out,
	struct tk_err *err);

/* Closes and frees. Statements and transactions must have been released before. NULL is allowed. */
void tk_db_close(struct tk_db *db);
void tk_db_cleanup(struct tk_db **db);

/* Reads the whole database and checks its structure (not its meaning). Errors: TK_ECORRUPT names the first fault. */
TK_MUST_CHECK enum tk_rc tk_db_check(struct tk_db *db, struct tk_err *err);

/* One step of a schema's history. Its SQL may hold several statements, but no BEGIN or COMMIT. */
struct tk_db_migration {
	int version; /* 1 or more, ascending from row to row */
	const char *sql;
};

/*
 * Brings the schema up to the last row's version, each step in a transaction of its own together with its new version number
 * (PRAGMA user_version); steps already there are skipped. Several processes may do this at once. Errors:
 * TK_EUNSUPPORTED: the file was written by a newer program, and was not touched.
 */
TK_MUST_CHECK enum tk_rc tk_db_migrate(struct tk_db *db, const struct tk_db_migration *rows, size_t row_count,
	struct tk_err *err);

/* The schema's version; 0 for a new file. */
TK_MUST_CHECK enum tk_rc tk_db_version(struct tk_db *db, int *version, struct tk_err *err);

/* Runs SQL text without results; several statements may be given. */
TK_MUST_CHECK enum tk_rc tk_db_exec(struct tk_db *db, const char *sql, struct tk_err *err);

/* Rows changed by the last INSERT, UPDATE or DELETE; the rowid of the last INSERT. */
int64_t tk_db_changes(const struct tk_db *db);
int64_t tk_db_last_rowid(const struct tk_db *db);

/* A pending transaction: TK_AUTO(tk_db_txn_cleanup) struct tk_db_txn txn = {0}; */
struct tk_db_txn {
	struct tk_db *db; /* borrowed; NULL: none pending */
};

/* Takes the write lock at once (BEGIN IMMEDIATE), so that no later statement fails for want of it.
 * Errors: TK_EINVAL when this handle has a transaction already. */
TK_MUST_CHECK enum tk_rc tk_db_txn_begin(struct tk_db *db, struct tk_db_txn *txn, struct tk_err *err);

/* Durable on TK_OK. On an error the transaction is still pending or already undone: clean it up. */
TK_MUST_CHECK enum tk_rc tk_db_txn_commit(struct tk_db_txn *txn, struct tk_err *err);

/* Rolls back, unless committed or never begun. */
void tk_db_txn_cleanup(struct tk_db_txn *txn);

/* A prepared statement: TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0}; */
struct tk_stmt {
	struct tk_db *db;         /* borrowed */
	struct sqlite3_stmt *raw; /* NULL: not prepared */
	int fault;                /* SQLite's code of the first bind that failed */
};

/*
 * Prepares one statement. The handle keeps released statements and gives them out again for the same text, so that
 * preparing in a loop costs a look-up. Release before the handle is closed.
 */
TK_MUST_CHECK enum tk_rc tk_stmt_prepare(struct tk_db *db, const char *sql, struct tk_stmt *stmt, struct tk_err *err);

/* Binds parameter `index` (from 1); bytes and text are copied; NULL text or blob binds NULL. The first failure sticks and is
 * returned by the next step or run, so that a row of binds needs one look at the result. */
void tk_stmt_bind_int64(struct tk_stmt *stmt, int index, int64_t value);
void tk_stmt_bind_text(struct tk_stmt *stmt, int index, const char *text);
void tk_stmt_bind_blob(struct tk_stmt *stmt, int index, const void *data, size_t len_bytes);
void tk_stmt_bind_null(struct tk_stmt *stmt, int index);

/* Goes to the next row: *row is true when there is one, false when the statement is done. */
TK_MUST_CHECK enum tk_rc tk_stmt_step(struct tk_stmt *stmt, bool *row, struct tk_err *err);
/* Runs a statement to its end, ignoring rows, and resets it: for INSERT, UPDATE, DELETE. */
TK_MUST_CHECK enum tk_rc tk_stmt_run(struct tk_stmt *stmt, struct tk_err *err);

/* Column `index` (from 0) of the present row. Borrowed memory: valid until the next step, reset or release. A NULL is
 * 0, NULL with length 0, or NULL. Blobs of length 0 are NULL too. */
bool tk_stmt_is_null(const struct tk_stmt *stmt, int index);
int64_t tk_stmt_int64(const struct tk_stmt *stmt, int index);
const char *tk_stmt_text(const struct tk_stmt *stmt, int index);
const uint8_t *tk_stmt_blob(const struct tk_stmt *stmt, int index, size_t *len_bytes);

/* Ready to be bound and stepped anew; forgets all bindings. */
void tk_stmt_reset(struct tk_stmt *stmt);
/* Gives the statement back; harmless when it was never prepared. */
void tk_stmt_cleanup(struct tk_stmt *stmt);

#endif
