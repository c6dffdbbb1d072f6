#include "engine/vault/vault_index.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/vault/bitmap.h"

struct tk_vindex {
	pthread_mutex_t lock;
	struct tk_db *db;
};

/* No table of votes and no counter: the files in votes/ and the receipts of the points are few or cheap to ask, and one truth is enough. */
static const struct tk_db_migration migrations[] = {
	{1, "CREATE TABLE pack (name BLOB NOT NULL UNIQUE, domain BLOB NOT NULL, bytes INTEGER NOT NULL, blobs INTEGER NOT NULL,"
	    " footer BLOB NOT NULL, state INTEGER NOT NULL, traced BLOB, condemned BLOB);"
	    "CREATE TABLE point (domain BLOB NOT NULL, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL, id BLOB NOT NULL,"
	    " counter INTEGER NOT NULL, received_ns INTEGER NOT NULL, complete INTEGER NOT NULL,"
	    " PRIMARY KEY (domain, epoch, sequence)) WITHOUT ROWID;"
	    "CREATE INDEX point_id ON point (domain, id);"
	    "CREATE INDEX point_counter ON point (counter);"
	    "CREATE TABLE built (yes INTEGER NOT NULL)"},
	/* References are counted from here on, and point.complete holds a tk_point_state: all is traced anew when the domains are loaded. */
	{2, "ALTER TABLE pack ADD COLUMN counts BLOB;"
	    "ALTER TABLE point ADD COLUMN root_pack BLOB;"
	    "ALTER TABLE point ADD COLUMN root_blob INTEGER NOT NULL DEFAULT 0;"
	    "UPDATE pack SET traced = NULL, condemned = NULL;"
	    "UPDATE point SET complete = 2;"
	    "CREATE INDEX pack_condemned ON pack (name) WHERE condemned IS NOT NULL;"
	    "CREATE INDEX point_state ON point (domain, complete)"},
};

static void
lock(struct tk_vindex *index)
{
	(void)pthread_mutex_lock(&index->lock);
}

static void
unlock_cleanup(struct tk_vindex **held)
{
	if (*held)
		(void)pthread_mutex_unlock(&(*held)->lock);
}

/* Locks for the rest of the scope. */
#define HOLD(index) \
	TK_AUTO(unlock_cleanup) struct tk_vindex *held = (index); \
	lock(held)

static enum tk_rc
open_checked(const char *path, struct tk_db **db, struct tk_err *err)
{
	static const struct tk_db_options options = {.create = true, .busy_timeout_ms = 10000};
	enum tk_rc rc = tk_db_open(path, &options, db, err);

	if (!rc)
		rc = tk_db_check(*db, err);
	if (!rc)
		rc = tk_db_migrate(*db, migrations, sizeof(migrations) / sizeof(migrations[0]), err);
	return rc;
}

static void
unlink_database(const char *path)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char name[4096];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		(void)snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		(void)unlink(name);
	}
}

static enum tk_rc
is_fresh(struct tk_db *db, bool *fresh, struct tk_err *err)
{
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(db, "SELECT yes FROM built", &stmt, err);
	bool row = false;

	if (!rc)
		rc = tk_stmt_step(&stmt, &row, err);
	*fresh = !row;
	return rc;
}

static enum tk_rc
make_lock(pthread_mutex_t *mutex, struct tk_err *err)
{
	pthread_mutexattr_t attr;
	int failed = pthread_mutexattr_init(&attr);

	if (!failed) {
		failed = pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
		if (!failed)
			failed = pthread_mutex_init(mutex, &attr);
		(void)pthread_mutexattr_destroy(&attr);
	}
	return failed ? tk_err_set(err, TK_ENOMEM, "no lock for the index") : TK_OK;
}

enum tk_rc
tk_vindex_open(const char *path, struct tk_vindex **out, bool *fresh, struct tk_err *err)
{
	TK_AUTO(tk_db_cleanup) struct tk_db *db = NULL;
	struct tk_vindex *index;
	enum tk_rc rc = open_checked(path, &db, err);

	/* Everything in it comes from the files: a damaged index is not worth a repair. */
	if (rc == TK_ECORRUPT) {
		tk_db_cleanup(&db);
		unlink_database(path);
		tk_err_clear(err);
		rc = open_checked(path, &db, err);
	}
	if (!rc)
		rc = is_fresh(db, fresh, err);
	if (rc)
		return rc;
	index = calloc(1, sizeof(*index));
	if (!index)
		return tk_err_set(err, TK_ENOMEM, "no memory for the index");
	rc = make_lock(&index->lock, err);
	if (rc) {
		free(index);
		return rc;
	}
	index->db = db;
	db = NULL;
	*out = index;
	return TK_OK;
}

void
tk_vindex_close(struct tk_vindex *index)
{
	if (!index)
		return;
	tk_db_close(index->db);
	(void)pthread_mutex_destroy(&index->lock);
	free(index);
}

enum tk_rc
tk_vindex_built(struct tk_vindex *index, struct tk_err *err)
{
	HOLD(index);

	return tk_db_exec(index->db, "INSERT INTO built VALUES (1)", err);
}

enum tk_rc
tk_vindex_begin(struct tk_vindex *index, struct tk_vindex_txn *txn, struct tk_err *err)
{
	enum tk_rc rc;

	lock(index);
	rc = tk_db_txn_begin(index->db, &txn->db, err);
	if (rc)
		(void)pthread_mutex_unlock(&index->lock);
	else
		txn->index = index;
	return rc;
}

enum tk_rc
tk_vindex_commit(struct tk_vindex_txn *txn, struct tk_err *err)
{
	enum tk_rc rc = tk_db_txn_commit(&txn->db, err);

	if (rc)
		return rc;
	(void)pthread_mutex_unlock(&txn->index->lock);
	txn->index = NULL;
	return TK_OK;
}

void
tk_vindex_txn_cleanup(struct tk_vindex_txn *txn)
{
	if (!txn->index)
		return;
	tk_db_txn_cleanup(&txn->db);
	(void)pthread_mutex_unlock(&txn->index->lock);
	txn->index = NULL;
}

/* A column of exactly len_bytes; anything else means that the index is not what this program wrote. */
static void
column_copy(const struct tk_stmt *stmt, int column, void *dst, size_t len_bytes)
{
	size_t got;
	const uint8_t *blob = tk_stmt_blob(stmt, column, &got);

	memset(dst, 0, len_bytes);
	if (blob && got == len_bytes)
		memcpy(dst, blob, len_bytes);
}

static enum tk_rc
column_bytes(const struct tk_stmt *stmt, int column, struct tk_buf *out, struct tk_err *err)
{
	size_t got;
	const uint8_t *blob = tk_stmt_blob(stmt, column, &got);

	tk_buf_clear(out);
	return blob ? tk_buf_put(out, blob, got, err) : TK_OK;
}

static void
row_pack(const struct tk_stmt *stmt, struct tk_pack_row *row)
{
	column_copy(stmt, 0, row->name.b, sizeof(row->name.b));
	column_copy(stmt, 1, row->domain.b, sizeof(row->domain.b));
	row->bytes = (uint64_t)tk_stmt_int64(stmt, 2);
	row->blobs = (uint32_t)tk_stmt_int64(stmt, 3);
	column_copy(stmt, 4, row->footer.b, sizeof(row->footer.b));
	row->state = (enum tk_pack_state)tk_stmt_int64(stmt, 5);
}

#define PACK_COLUMNS "SELECT name, domain, bytes, blobs, footer, state, traced, condemned, counts FROM pack WHERE "

static enum tk_rc
one_pack(struct tk_stmt *stmt, struct tk_pack_row *row, struct tk_pack_marks *marks, struct tk_err *err)
{
	bool there = false;
	enum tk_rc rc = tk_stmt_step(stmt, &there, err);

	if (rc)
		return rc;
	if (!there)
		return tk_err_set(err, TK_ENOENT, "no such pack");
	row_pack(stmt, row);
	if (!marks)
		return TK_OK;
	rc = column_bytes(stmt, 6, &marks->traced, err);
	if (!rc)
		rc = column_bytes(stmt, 7, &marks->condemned, err);
	return rc ? rc : column_bytes(stmt, 8, &marks->counts, err);
}

enum tk_rc
tk_vindex_pack(struct tk_vindex *index, const struct tk_pack_name *name, struct tk_pack_row *row, struct tk_pack_marks *marks, struct tk_err *err)
{
	HOLD(index);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(index->db, PACK_COLUMNS "name = ?", &stmt, err);

	if (rc)
		return rc;
	tk_stmt_bind_blob(&stmt, 1, name->b, sizeof(name->b));
	return one_pack(&stmt, row, marks, err);
}

/* No name is empty. */
static void
bind_after(struct tk_stmt *stmt, const struct tk_pack_name *after)
{
	tk_stmt_bind_blob(stmt, 1, after ? (const void *)after->b : "", after ? sizeof(after->b) : 0);
}

enum tk_rc
tk_vindex_next_condemned(struct tk_vindex *index, const struct tk_pack_name *after, struct tk_pack_row *row, struct tk_pack_marks *marks,
			 struct tk_err *err)
{
	HOLD(index);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(index->db, PACK_COLUMNS "condemned IS NOT NULL AND name > ? ORDER BY name LIMIT 1", &stmt, err);

	if (rc)
		return rc;
	bind_after(&stmt, after);
	return one_pack(&stmt, row, marks, err);
}

enum tk_rc
tk_vindex_put_pack(struct tk_vindex *index, const struct tk_pack_row *row, struct tk_err *err)
{
	HOLD(index);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(index->db,
		"INSERT INTO pack (name, domain, bytes, blobs, footer, state) VALUES (?, ?, ?, ?, ?, ?)"
		" ON CONFLICT (name) DO UPDATE SET state = excluded.state", &stmt, err);

	if (rc)
		return rc;
	tk_stmt_bind_blob(&stmt, 1, row->name.b, sizeof(row->name.b));
	tk_stmt_bind_blob(&stmt, 2, row->domain.b, sizeof(row->domain.b));
	tk_stmt_bind_int64(&stmt, 3, (int64_t)row->bytes);
	tk_stmt_bind_int64(&stmt, 4, (int64_t)row->blobs);
	tk_stmt_bind_blob(&stmt, 5, row->footer.b, sizeof(row->footer.b));
	tk_stmt_bind_int64(&stmt, 6, (int64_t)row->state);
	return tk_stmt_run(&stmt, err);
}

enum tk_rc
tk_vindex_put_marks(struct tk_vindex *index, const struct tk_pack_name *name, const struct tk_pack_marks *marks, struct tk_err *err)
{
	HOLD(index);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(index->db, "UPDATE pack SET traced = ?, condemned = ?, counts = ? WHERE name = ?", &stmt, err);

	if (rc)
		return rc;
	tk_stmt_bind_blob(&stmt, 1, marks->traced.data, marks->traced.len_bytes);
	/* NULL when nothing is: it is what tk_vindex_next_condemned goes by. */
	tk_stmt_bind_blob(&stmt, 2, tk_bit_count(&marks->condemned) > 0 ? marks->condemned.data : NULL, marks->condemned.len_bytes);
	tk_stmt_bind_blob(&stmt, 3, marks->counts.data, marks->counts.len_bytes);
	tk_stmt_bind_blob(&stmt, 4, name->b, sizeof(name->b));
	rc = tk_stmt_run(&stmt, err);
	if (!rc && tk_db_changes(index->db) != 1)
		rc = tk_err_set(err, TK_ENOENT, "no such pack");
	return rc;
}

/* Rows after `after`, or from the first one. */
static enum tk_rc
next_pack(struct tk_vindex *index, const struct tk_pack_name *after, struct tk_pack_row *row, bool *there, struct tk_err *err)
{
	HOLD(index);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(index->db,
		"SELECT name, domain, bytes, blobs, footer, state FROM pack WHERE name > ? ORDER BY name LIMIT 1", &stmt, err);

	if (rc)
		return rc;
	bind_after(&stmt, after);
	rc = tk_stmt_step(&stmt, there, err);
	if (!rc && *there)
		row_pack(&stmt, row);
	return rc;
}

enum tk_rc
tk_vindex_each_pack(struct tk_vindex *index, enum tk_rc (*each)(void *ctx, const struct tk_pack_row *row, struct tk_err *err), void *ctx,
		    struct tk_err *err)
{
	struct tk_pack_name after;
	struct tk_pack_row row;
	bool there = false;
	enum tk_rc rc = next_pack(index, NULL, &row, &there, err);

	while (!rc && there) {
		after = row.name;
		rc = each(ctx, &row, err);
		if (!rc)
			rc = next_pack(index, &after, &row, &there, err);
	}
	return rc;
}

enum tk_rc
tk_vindex_put_point(struct tk_vindex *index, const struct tk_point_row *row, struct tk_err *err)
{
	HOLD(index);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(index->db, "INSERT OR REPLACE INTO point VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", &stmt, err);

	if (rc)
		return rc;
	tk_stmt_bind_blob(&stmt, 1, row->domain.b, sizeof(row->domain.b));
	tk_stmt_bind_int64(&stmt, 2, (int64_t)row->at.epoch);
	tk_stmt_bind_int64(&stmt, 3, (int64_t)row->at.sequence);
	tk_stmt_bind_blob(&stmt, 4, row->at.point.b, sizeof(row->at.point.b));
	tk_stmt_bind_int64(&stmt, 5, (int64_t)row->counter);
	tk_stmt_bind_int64(&stmt, 6, (int64_t)row->received_ns);
	tk_stmt_bind_int64(&stmt, 7, row->state);
	tk_stmt_bind_blob(&stmt, 8, row->root_pack.b, sizeof(row->root_pack.b));
	tk_stmt_bind_int64(&stmt, 9, (int64_t)row->root_blob);
	return tk_stmt_run(&stmt, err);
}

enum tk_rc
tk_vindex_drop_point(struct tk_vindex *index, const struct tk_id *domain, uint64_t epoch, uint64_t sequence, struct tk_err *err)
{
	HOLD(index);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(index->db, "DELETE FROM point WHERE domain = ? AND epoch = ? AND sequence = ?", &stmt, err);

	if (rc)
		return rc;
	tk_stmt_bind_blob(&stmt, 1, domain->b, sizeof(domain->b));
	tk_stmt_bind_int64(&stmt, 2, (int64_t)epoch);
	tk_stmt_bind_int64(&stmt, 3, (int64_t)sequence);
	return tk_stmt_run(&stmt, err);
}

#define POINT_SELECT "SELECT epoch, sequence, id, counter, received_ns, complete, root_pack, root_blob FROM point "
#define POINT_COLUMNS POINT_SELECT "WHERE domain = ?"

static void
row_point(const struct tk_stmt *stmt, const struct tk_id *domain, struct tk_point_row *row)
{
	row->domain = *domain;
	row->at.epoch = (uint64_t)tk_stmt_int64(stmt, 0);
	row->at.sequence = (uint64_t)tk_stmt_int64(stmt, 1);
	column_copy(stmt, 2, row->at.point.b, sizeof(row->at.point.b));
	row->counter = (uint64_t)tk_stmt_int64(stmt, 3);
	row->received_ns = (uint64_t)tk_stmt_int64(stmt, 4);
	row->state = (enum tk_point_state)tk_stmt_int64(stmt, 5);
	column_copy(stmt, 6, row->root_pack.b, sizeof(row->root_pack.b));
	row->root_blob = (uint32_t)tk_stmt_int64(stmt, 7);
}

static enum tk_rc
one_point(struct tk_stmt *stmt, const struct tk_id *domain, struct tk_point_row *row, struct tk_err *err)
{
	bool there = false;
	enum tk_rc rc = tk_stmt_step(stmt, &there, err);

	if (rc)
		return rc;
	if (!there)
		return tk_err_set(err, TK_ENOENT, "no such point");
	row_point(stmt, domain, row);
	return TK_OK;
}

enum tk_rc
tk_vindex_point(struct tk_vindex *index, const struct tk_id *domain, uint64_t epoch, uint64_t sequence, struct tk_point_row *row, struct tk_err *err)
{
	HOLD(index);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(index->db, POINT_COLUMNS " AND epoch = ? AND sequence = ?", &stmt, err);

	if (rc)
		return rc;
	tk_stmt_bind_blob(&stmt, 1, domain->b, sizeof(domain->b));
	tk_stmt_bind_int64(&stmt, 2, (int64_t)epoch);
	tk_stmt_bind_int64(&stmt, 3, (int64_t)sequence);
	return one_point(&stmt, domain, row, err);
}

enum tk_rc
tk_vindex_point_by_id(struct tk_vindex *index, const struct tk_id *domain, const struct tk_digest *id, struct tk_point_row *row, struct tk_err *err)
{
	HOLD(index);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(index->db, POINT_COLUMNS " AND id = ?", &stmt, err);

	if (rc)
		return rc;
	tk_stmt_bind_blob(&stmt, 1, domain->b, sizeof(domain->b));
	tk_stmt_bind_blob(&stmt, 2, id->b, sizeof(id->b));
	return one_point(&stmt, domain, row, err);
}

static enum tk_rc
all_points(struct tk_stmt *stmt, const struct tk_id *domain, struct tk_point_row **out, size_t *count, struct tk_err *err)
{
	struct tk_point_row *rows = NULL, *grown;
	size_t cap = 0, used = 0;
	bool there = false;
	enum tk_rc rc;

	while (!(rc = tk_stmt_step(stmt, &there, err)) && there) {
		if (used == cap) {
			cap = cap ? cap * 2 : 64;
			grown = realloc(rows, cap * sizeof(*rows));
			if (!grown) {
				rc = tk_err_set(err, TK_ENOMEM, "no memory for %zu points", cap);
				break;
			}
			rows = grown;
		}
		row_point(stmt, domain, &rows[used++]);
	}
	if (rc) {
		free(rows);
		return rc;
	}
	*out = rows;
	*count = used;
	return TK_OK;
}

enum tk_rc
tk_vindex_points(struct tk_vindex *index, const struct tk_id *domain, struct tk_point_row **out, size_t *count, struct tk_err *err)
{
	HOLD(index);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(index->db, POINT_COLUMNS " ORDER BY epoch, sequence", &stmt, err);

	if (rc)
		return rc;
	tk_stmt_bind_blob(&stmt, 1, domain->b, sizeof(domain->b));
	return all_points(&stmt, domain, out, count, err);
}

enum tk_rc
tk_vindex_points_in(struct tk_vindex *index, const struct tk_id *domain, enum tk_point_state state, struct tk_point_row **out, size_t *count,
		    struct tk_err *err)
{
	HOLD(index);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	/* Named, since SQLite would look at all points of the domain in their order, for want of figures that tell how few these are. */
	enum tk_rc rc = tk_stmt_prepare(index->db, POINT_SELECT "INDEXED BY point_state WHERE domain = ? AND complete = ? ORDER BY epoch, sequence",
		&stmt, err);

	if (rc)
		return rc;
	tk_stmt_bind_blob(&stmt, 1, domain->b, sizeof(domain->b));
	tk_stmt_bind_int64(&stmt, 2, state);
	return all_points(&stmt, domain, out, count, err);
}

enum tk_rc
tk_vindex_counter(struct tk_vindex *index, uint64_t *counter, struct tk_err *err)
{
	HOLD(index);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	bool there = false;
	enum tk_rc rc = tk_stmt_prepare(index->db, "SELECT max(counter) FROM point", &stmt, err);

	if (!rc)
		rc = tk_stmt_step(&stmt, &there, err);
	if (!rc)
		*counter = there ? (uint64_t)tk_stmt_int64(&stmt, 0) : 0;
	return rc;
}

void
tk_pack_marks_release(struct tk_pack_marks *marks)
{
	tk_buf_release(&marks->traced);
	tk_buf_release(&marks->condemned);
	tk_buf_release(&marks->counts);
}
