/* db_core.h -- what db.c and stmt.c share; nobody else includes it. */
#ifndef TK_DB_DB_CORE_H
#define TK_DB_DB_CORE_H

#include <sqlite3.h>

#include "engine/db/db.h"

#define TK_DB_CACHED_MAX 32

/* A statement that was released and waits for the same text; raw is NULL in a free slot. */
struct tk_db_cached {
	sqlite3_stmt *raw;
	uint64_t released_at; /* count of releases; the oldest gives way */
};

struct tk_db {
	sqlite3 *raw;
	uint64_t releases;
	struct tk_db_cached cached[TK_DB_CACHED_MAX];
};

/* Turns the code of a failed call into ours, with SQLite's text. */
enum tk_rc tk_db_fault(const struct tk_db *db, int code, struct tk_err *err, const char *what);

/* Finalises every waiting statement. */
void tk_db_forget_cached(struct tk_db *db);

#endif
