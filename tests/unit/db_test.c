/* The database wrapper: what is durable, what is refused, how faults are named. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/db/db.h"

struct box {
	char dir[64];
	char path[96];
};

static const struct tk_db_options create = {.create = true};
static const struct tk_db_migration schema[] = {
	{1, "CREATE TABLE note (id INTEGER PRIMARY KEY, name TEXT UNIQUE, body BLOB)"},
	{2, "CREATE TABLE tag (note INTEGER NOT NULL REFERENCES note (id)); CREATE INDEX tag_note ON tag (note)"},
};

static int
box_open(void **state)
{
	struct box *box = calloc(1, sizeof(*box));

	if (!box)
		return -1;
	*state = box;
	(void)snprintf(box->dir, sizeof(box->dir), "/tmp/db_test.XXXXXX");
	if (!mkdtemp(box->dir))
		return -1;
	(void)snprintf(box->path, sizeof(box->path), "%s/db", box->dir);
	return 0;
}

static int
box_remove(void **state)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	struct box *box = *state;
	char path[128];

	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "%s%s", box->path, suffixes[i]);
		(void)unlink(path);
	}
	(void)rmdir(box->dir);
	free(box);
	return 0;
}

static struct tk_db *
open_ready(const struct box *box)
{
	struct tk_db *db = NULL;

	assert_int_equal(tk_db_open(box->path, &create, &db, NULL), TK_OK);
	assert_int_equal(tk_db_migrate(db, schema, 2, NULL), TK_OK);
	return db;
}

static int64_t
count_notes(struct tk_db *db)
{
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	bool row;

	assert_int_equal(tk_stmt_prepare(db, "SELECT count(*) FROM note", &stmt, NULL), TK_OK);
	assert_int_equal(tk_stmt_step(&stmt, &row, NULL), TK_OK);
	assert_true(row);
	return tk_stmt_int64(&stmt, 0);
}

static enum tk_rc
add_note(struct tk_db *db, const char *name)
{
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	enum tk_rc rc = tk_stmt_prepare(db, "INSERT INTO note (name, body) VALUES (?, ?)", &stmt, NULL);

	assert_int_equal(rc, TK_OK);
	tk_stmt_bind_text(&stmt, 1, name);
	tk_stmt_bind_blob(&stmt, 2, "\0\1\2", 3);
	return tk_stmt_run(&stmt, NULL);
}

static void
a_missing_database_is_created_only_on_request_and_for_its_owner_only(void **state)
{
	static const struct tk_db_options plain = {0};
	const struct box *box = *state;
	struct tk_db *db = NULL;
	struct stat st;

	assert_int_equal(tk_db_open(box->path, &plain, &db, NULL), TK_ENOENT);
	assert_null(db);
	assert_int_equal(tk_db_open(box->path, &create, &db, NULL), TK_OK);
	tk_db_close(db);
	assert_int_equal(stat(box->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void
every_kind_of_value_survives_the_round_trip(void **state)
{
	TK_AUTO(tk_db_cleanup) struct tk_db *db = open_ready(*state);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	size_t len;
	bool row;

	assert_int_equal(add_note(db, "a"), TK_OK);
	assert_int_equal(tk_db_last_rowid(db), 1);
	assert_int_equal(tk_db_changes(db), 1);
	assert_int_equal(tk_stmt_prepare(db, "SELECT id, name, body, NULL, ?1 FROM note", &stmt, NULL), TK_OK);
	tk_stmt_bind_int64(&stmt, 1, INT64_MIN);
	assert_int_equal(tk_stmt_step(&stmt, &row, NULL), TK_OK);
	assert_true(row);
	assert_int_equal(tk_stmt_int64(&stmt, 0), 1);
	assert_string_equal(tk_stmt_text(&stmt, 1), "a");
	assert_memory_equal(tk_stmt_blob(&stmt, 2, &len), "\0\1\2", 3);
	assert_int_equal(len, 3);
	assert_true(tk_stmt_is_null(&stmt, 3));
	assert_null(tk_stmt_blob(&stmt, 3, &len));
	assert_int_equal(len, 0);
	assert_true(tk_stmt_int64(&stmt, 4) == INT64_MIN);
	assert_int_equal(tk_stmt_step(&stmt, &row, NULL), TK_OK);
	assert_false(row);
}

static void
a_transaction_that_is_not_committed_leaves_nothing(void **state)
{
	TK_AUTO(tk_db_cleanup) struct tk_db *db = open_ready(*state);

	{
		TK_AUTO(tk_db_txn_cleanup) struct tk_db_txn txn = {0};

		assert_int_equal(tk_db_txn_begin(db, &txn, NULL), TK_OK);
		assert_int_equal(add_note(db, "a"), TK_OK);
		assert_int_equal(count_notes(db), 1);
	}
	assert_int_equal(count_notes(db), 0);
}

static void
a_committed_transaction_is_there_after_reopening(void **state)
{
	struct tk_db *db = open_ready(*state);
	TK_AUTO(tk_db_txn_cleanup) struct tk_db_txn txn = {0};

	assert_int_equal(tk_db_txn_begin(db, &txn, NULL), TK_OK);
	assert_int_equal(add_note(db, "a"), TK_OK);
	assert_int_equal(tk_db_txn_commit(&txn, NULL), TK_OK);
	assert_int_equal(tk_db_txn_commit(&txn, NULL), TK_EINVAL);
	tk_db_close(db);
	db = open_ready(*state);
	assert_int_equal(count_notes(db), 1);
	tk_db_close(db);
}

static void
transactions_do_not_nest(void **state)
{
	TK_AUTO(tk_db_cleanup) struct tk_db *db = open_ready(*state);
	TK_AUTO(tk_db_txn_cleanup) struct tk_db_txn outer = {0};
	TK_AUTO(tk_db_txn_cleanup) struct tk_db_txn inner = {0};

	assert_int_equal(tk_db_txn_begin(db, &outer, NULL), TK_OK);
	assert_int_equal(tk_db_txn_begin(db, &inner, NULL), TK_EINVAL);
	assert_int_equal(tk_db_txn_commit(&outer, NULL), TK_OK);
}

static void
a_writer_that_meets_another_writer_is_told_that_it_is_locked(void **state)
{
	TK_AUTO(tk_db_cleanup) struct tk_db *first = open_ready(*state);
	TK_AUTO(tk_db_cleanup) struct tk_db *second = open_ready(*state);
	TK_AUTO(tk_db_txn_cleanup) struct tk_db_txn txn = {0};
	TK_AUTO(tk_db_txn_cleanup) struct tk_db_txn late = {0};

	assert_int_equal(tk_db_txn_begin(first, &txn, NULL), TK_OK);
	assert_int_equal(tk_db_txn_begin(second, &late, NULL), TK_ELOCKED);
	assert_int_equal(count_notes(second), 0);
	assert_int_equal(tk_db_txn_commit(&txn, NULL), TK_OK);
	assert_int_equal(tk_db_txn_begin(second, &late, NULL), TK_OK);
}

static void
constraints_are_told_apart_and_foreign_keys_are_kept(void **state)
{
	TK_AUTO(tk_db_cleanup) struct tk_db *db = open_ready(*state);

	assert_int_equal(add_note(db, "a"), TK_OK);
	assert_int_equal(add_note(db, "a"), TK_EEXIST);
	assert_int_equal(add_note(db, "b"), TK_OK);
	assert_int_equal(tk_db_exec(db, "INSERT INTO tag VALUES (77)", NULL), TK_EINVAL);
}

static void
a_bind_that_fails_is_reported_by_the_step(void **state)
{
	TK_AUTO(tk_db_cleanup) struct tk_db *db = open_ready(*state);
	TK_AUTO(tk_stmt_cleanup) struct tk_stmt stmt = {0};
	struct tk_err err;

	assert_int_equal(tk_stmt_prepare(db, "DELETE FROM note WHERE id = ?", &stmt, NULL), TK_OK);
	tk_stmt_bind_int64(&stmt, 2, 1);
	tk_stmt_bind_int64(&stmt, 1, 1);
	assert_int_equal(tk_stmt_run(&stmt, &err), TK_EINVAL);
	tk_stmt_bind_int64(&stmt, 1, 1);
	assert_int_equal(tk_stmt_run(&stmt, &err), TK_OK);
}

static void
the_same_text_may_be_prepared_twice_at_once(void **state)
{
	TK_AUTO(tk_db_cleanup) struct tk_db *db = open_ready(*state);
	struct tk_stmt stmts[40] = {{0}};
	char sql[64];
	bool row;

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 40; i++) {
			(void)snprintf(sql, sizeof(sql), "SELECT %d", i / 2);
			assert_int_equal(tk_stmt_prepare(db, sql, &stmts[i], NULL), TK_OK);
			assert_int_equal(tk_stmt_step(&stmts[i], &row, NULL), TK_OK);
			assert_int_equal(tk_stmt_int64(&stmts[i], 0), i / 2);
		}
		for (int i = 0; i < 40; i++)
			tk_stmt_cleanup(&stmts[i]);
	}
}

static void
a_migration_that_fails_leaves_the_version_before_it(void **state)
{
	static const struct tk_db_migration broken[] = {
		{1, "CREATE TABLE one (a)"},
		{2, "CREATE TABLE two (a); CREATE TABLE one (a)"},
	};
	static const struct tk_db_migration unordered[] = {{2, "SELECT 1"}, {2, "SELECT 1"}};
	TK_AUTO(tk_db_cleanup) struct tk_db *db = NULL;
	const struct box *box = *state;
	struct tk_err err;
	int version;

	assert_int_equal(tk_db_open(box->path, &create, &db, NULL), TK_OK);
	assert_int_equal(tk_db_migrate(db, unordered, 2, NULL), TK_EINVAL);
	assert_int_equal(tk_db_migrate(db, broken, 2, &err), TK_EINVAL);
	assert_non_null(strstr(err.text, "schema version 2"));
	assert_int_equal(tk_db_version(db, &version, NULL), TK_OK);
	assert_int_equal(version, 1);
	assert_int_equal(tk_db_exec(db, "INSERT INTO two VALUES (1)", NULL), TK_EINVAL);
}

static void
a_schema_from_a_newer_program_is_refused(void **state)
{
	TK_AUTO(tk_db_cleanup) struct tk_db *db = open_ready(*state);

	assert_int_equal(tk_db_migrate(db, schema, 2, NULL), TK_OK);
	assert_int_equal(tk_db_migrate(db, schema, 1, NULL), TK_EUNSUPPORTED);
}

static void
a_read_only_handle_reads_and_does_not_write(void **state)
{
	static const struct tk_db_options read_only = {.read_only = true};
	TK_AUTO(tk_db_cleanup) struct tk_db *writer = open_ready(*state);
	TK_AUTO(tk_db_cleanup) struct tk_db *reader = NULL;
	const struct box *box = *state;

	assert_int_equal(add_note(writer, "a"), TK_OK);
	assert_int_equal(tk_db_open(box->path, &read_only, &reader, NULL), TK_OK);
	assert_int_equal(count_notes(reader), 1);
	assert_int_equal(add_note(reader, "b"), TK_EIO);
}

static void
a_file_that_is_no_database_is_corrupt(void **state)
{
	const struct box *box = *state;
	struct tk_db *db = NULL;
	FILE *file = fopen(box->path, "w");

	assert_non_null(file);
	for (int i = 0; i < 1000; i++)
		assert_true(fputs("no database ", file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(tk_db_open(box->path, &create, &db, NULL), TK_ECORRUPT);
	assert_null(db);
}

static void
a_damaged_page_is_found_by_the_check(void **state)
{
	const struct box *box = *state;
	struct tk_db *db = open_ready(box);
	struct tk_db_txn txn = {0};
	uint8_t junk[2048];
	char name[32];
	int fd;

	assert_int_equal(tk_db_txn_begin(db, &txn, NULL), TK_OK);
	for (int i = 0; i < 2000; i++) {
		(void)snprintf(name, sizeof(name), "note %d", i);
		assert_int_equal(add_note(db, name), TK_OK);
	}
	assert_int_equal(tk_db_txn_commit(&txn, NULL), TK_OK);
	assert_int_equal(tk_db_check(db, NULL), TK_OK);
	tk_db_close(db); /* moves the WAL into the file */
	memset(junk, 0xa5, sizeof(junk));
	fd = open(box->path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, junk, sizeof(junk), 5 * 4096), (ssize_t)sizeof(junk));
	assert_int_equal(close(fd), 0);
	db = open_ready(box);
	assert_int_equal(tk_db_check(db, NULL), TK_ECORRUPT);
	tk_db_close(db);
}

static void
a_full_disk_is_named_and_nothing_is_half_written(void **state)
{
	TK_AUTO(tk_db_cleanup) struct tk_db *db = open_ready(*state);
	enum tk_rc rc = TK_OK;
	char name[32];

	assert_int_equal(tk_db_exec(db, "PRAGMA max_page_count=12", NULL), TK_OK);
	{
		TK_AUTO(tk_db_txn_cleanup) struct tk_db_txn txn = {0};

		assert_int_equal(tk_db_txn_begin(db, &txn, NULL), TK_OK);
		for (int i = 0; i < 5000 && !rc; i++) {
			(void)snprintf(name, sizeof(name), "note %d", i);
			rc = add_note(db, name);
		}
		assert_int_equal(rc, TK_ENOSPC);
	}
	assert_int_equal(count_notes(db), 0);
}

#define DB_TEST(name) cmocka_unit_test_setup_teardown(name, box_open, box_remove)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		DB_TEST(a_missing_database_is_created_only_on_request_and_for_its_owner_only),
		DB_TEST(every_kind_of_value_survives_the_round_trip),
		DB_TEST(a_transaction_that_is_not_committed_leaves_nothing),
		DB_TEST(a_committed_transaction_is_there_after_reopening),
		DB_TEST(transactions_do_not_nest),
		DB_TEST(a_writer_that_meets_another_writer_is_told_that_it_is_locked),
		DB_TEST(constraints_are_told_apart_and_foreign_keys_are_kept),
		DB_TEST(a_bind_that_fails_is_reported_by_the_step),
		DB_TEST(the_same_text_may_be_prepared_twice_at_once),
		DB_TEST(a_migration_that_fails_leaves_the_version_before_it),
		DB_TEST(a_schema_from_a_newer_program_is_refused),
		DB_TEST(a_read_only_handle_reads_and_does_not_write),
		DB_TEST(a_file_that_is_no_database_is_corrupt),
		DB_TEST(a_damaged_page_is_found_by_the_check),
		DB_TEST(a_full_disk_is_named_and_nothing_is_half_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
