/* journal_priv.h -- what the files of the journal share. Private to engine/catalog. */
#ifndef TK_CATALOG_JOURNAL_PRIV_H
#define TK_CATALOG_JOURNAL_PRIV_H

#include <pthread.h>

#include "engine/catalog/journal.h"
#include "engine/db/db.h"

struct tk_journal {
	struct tk_db *db;
	pthread_mutex_t lock;   /* held over every use of db */
};

/* For TK_AUTO: TK_AUTO(tk_journal_unlock) struct tk_journal *held = tk_journal_lock(journal); declare it before the statements, so that
 * they are given back while it is held. */
struct tk_journal *tk_journal_lock(struct tk_journal *journal);
void tk_journal_unlock(struct tk_journal **held);

/* Binds a head to three parameters from `index` on; a number over INT64_MAX is TK_EINVAL. */
TK_MUST_CHECK enum tk_rc tk_journal_bind_head(struct tk_stmt *stmt, int index, const struct tk_head *at, struct tk_err *err);
/* Reads a head from three columns from `index` on. Errors: TK_ECORRUPT. */
TK_MUST_CHECK enum tk_rc tk_journal_read_head(const struct tk_stmt *stmt, int index, struct tk_head *at, struct tk_err *err);
/* Copies a blob column of exactly len_bytes. Errors: TK_ECORRUPT. */
TK_MUST_CHECK enum tk_rc tk_journal_read_fixed(const struct tk_stmt *stmt, int index, void *dst, size_t len_bytes, struct tk_err *err);
/* Copies a text column that fits. Errors: TK_ECORRUPT. */
TK_MUST_CHECK enum tk_rc tk_journal_read_text(const struct tk_stmt *stmt, int index, char *dst, size_t size, struct tk_err *err);
/* Copies a blob column of any length. Errors: as tk_buf_put. */
TK_MUST_CHECK enum tk_rc tk_journal_read_buf(const struct tk_stmt *stmt, int index, struct tk_buf *dst, struct tk_err *err);
/* TK_EINVAL unless a site's name fits into the rows of journal.h. */
TK_MUST_CHECK enum tk_rc tk_journal_check_site(const char *site, struct tk_err *err);

#endif
