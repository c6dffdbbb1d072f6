/* Points and receipts that moved into containers are as if they stood as files: listed, given, compared with the index, and told from lost ones. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/vault_fixture.h"

#define POINTS 1100u

struct history {
	struct tk_head at[POINTS];
	uint64_t counters[POINTS];
};

static void
publish_many(struct vault_box *box, struct history *history, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		struct tk_receipt receipt;

		publish_small(box, i + 1, &history->at[i], &receipt);
		history->counters[i] = receipt.counter;
	}
}

static void
expect_points_in(struct tk_vault *vault, const struct tk_id *domain, const struct history *history, size_t count)
{
	struct tk_store_point *points = NULL;
	size_t listed = 0;

	assert_int_equal(tk_vault_list_points(vault, domain, &points, &listed, NULL), TK_OK);
	assert_int_equal(listed, count);
	for (size_t i = 0; i < count; i++) {
		struct tk_buf record = {0};
		struct tk_point point = {0};

		assert_memory_equal(&points[i].at, &history->at[i], sizeof(points[i].at));
		assert_int_equal(tk_vault_get_point(vault, domain, &history->at[i], &record, NULL), TK_OK);
		assert_int_equal(tk_point_decode(record.data, record.len_bytes, &point, NULL), TK_OK);
		assert_int_equal(point.at.sequence, i + 1);
		tk_point_release(&point);
		tk_buf_release(&record);
	}
	free(points);
}

/* In the open vault, for the next who opens it to write or to read, and without its index. */
static void
expect_points(struct vault_box *box, const struct history *history, size_t count)
{
	struct tk_vault *reader = NULL;
	struct tk_store_state now;

	expect_points_in(box->vault, &box->domain, history, count);
	box_close(box);
	assert_int_equal(tk_vault_open(box->path, TK_VAULT_READ, NULL, &reader, NULL), TK_OK);
	expect_points_in(reader, &box->domain, history, count);
	tk_vault_cleanup(&reader);
	box_open(box);
	expect_points_in(box->vault, &box->domain, history, count);
	box_close(box);
	box_shell(box, "rm \"$1\"/index.db*");
	box_open(box);
	expect_points_in(box->vault, &box->domain, history, count);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_false(now.read_only);
	assert_int_equal(now.receipt_counter, history->counters[count - 1]);
	assert_memory_equal(&now.head, &history->at[count - 1], sizeof(now.head));
}

static void
old_points_move_into_a_container(void **state)
{
	struct vault_box *box = *state;
	struct history history;

	publish_many(box, &history, 0, 127);
	assert_int_equal(box_count(box, "domains/*/points/*"), 127);
	publish_many(box, &history, 127, 128);
	assert_int_equal(box_count(box, "domains/*/points/*"), 64);
	assert_int_equal(box_count(box, "domains/*/receipts/*"), 64);
	assert_int_equal(box_count(box, "domains/*/archive/*"), 1);
	expect_points(box, &history, 128);
	publish_many(box, &history, 128, 192);
	assert_int_equal(box_count(box, "domains/*/archive/*"), 2);
	expect_points(box, &history, 192);
}

/* Each of 1,100 runs left a pack, a point and a receipt. */
static void
there_are_few_files_however_many_points(void **state)
{
	struct vault_box *box = *state;
	struct history history;

	publish_many(box, &history, 0, POINTS);
	assert_int_equal(box_count(box, "domains/*/archive/*"), 1);
	assert_true(box_count(box, "domains/*/*/*") + box_count(box, "packs/*/*") < 2 * 128 + 64 + 20);
	expect_points(box, &history, POINTS);
}

static void
a_reader_sees_points_that_move_while_it_is_open(void **state)
{
	struct vault_box *box = *state;
	struct tk_vault *reader = NULL;
	struct history history;

	publish_many(box, &history, 0, 100);
	assert_int_equal(tk_vault_open(box->path, TK_VAULT_READ, NULL, &reader, NULL), TK_OK);
	expect_points_in(reader, &box->domain, &history, 100);
	publish_many(box, &history, 100, 130);
	expect_points_in(reader, &box->domain, &history, 130);
	tk_vault_cleanup(&reader);
}

static void
a_crash_before_the_files_go_changes_nothing(void **state)
{
	struct vault_box *box = *state;
	struct history history;

	publish_many(box, &history, 0, 127);
	box_shell(box, "mkdir \"$1.before\"; cp -a \"$1\"/domains/*/points \"$1\"/domains/*/receipts \"$1.before\"");
	publish_many(box, &history, 127, 128);
	box_close(box);
	box_shell(box, "cd \"$1\"/domains/*/; cp -a \"$1.before\"/* .; echo x >archive/.tk-tmp-000000000000000000000000");
	box_open(box);
	assert_int_equal(box_count(box, "domains/*/points/*"), 128);
	expect_points(box, &history, 128);
	publish_many(box, &history, 128, 130);
	assert_int_equal(box_count(box, "domains/*/points/*"), 65);
	assert_int_equal(box_count(box, "domains/*/archive/.tk*"), 0);
	expect_points(box, &history, 130);
}

static void
either_table_of_a_container_will_do(void **state)
{
	struct vault_box *box = *state;
	struct history history;

	publish_many(box, &history, 0, 128);
	box_close(box);
	box_shell(box, "flip 100 \"$1\"/domains/*/archive/0000000000000001");
	box_open(box);
	expect_points(box, &history, 128);
}

static void
a_lost_container_shows_a_rollback(void **state)
{
	struct vault_box *box = *state;
	struct tk_store_state now;
	struct history history;

	publish_many(box, &history, 0, 128);
	box_close(box);
	box_shell(box, "rm \"$1\"/domains/*/archive/0000000000000001");
	box_open(box);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_true(now.read_only);
}

static enum tk_rc
count_bad(void *ctx, const struct tk_vault_finding *finding, struct tk_err *err)
{
	(void)err;
	*(size_t *)ctx += finding->rc != TK_OK;
	return TK_OK;
}

static void
damage_to_an_archived_record_is_found(void **state)
{
	struct vault_box *box = *state;
	struct history history;
	size_t bad = 0;

	publish_many(box, &history, 0, 128);
	assert_int_equal(tk_vault_verify_all(box->vault, count_bad, &bad, NULL), TK_OK);
	assert_int_equal(bad, 0);
	/* In the middle of the file: past the first table, before the second. */
	box_shell(box, "f=$(echo \"$1\"/domains/*/archive/*); flip $(($(wc -c <\"$f\") / 2)) \"$f\"");
	assert_int_equal(tk_vault_verify_all(box->vault, count_bad, &bad, NULL), TK_OK);
	assert_int_equal(bad, 1);
}

#define IN_BOX(test) cmocka_unit_test_setup_teardown(test, box_setup_fast, box_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOX(old_points_move_into_a_container),
		IN_BOX(there_are_few_files_however_many_points),
		IN_BOX(a_reader_sees_points_that_move_while_it_is_open),
		IN_BOX(a_crash_before_the_files_go_changes_nothing),
		IN_BOX(either_table_of_a_container_will_do),
		IN_BOX(a_lost_container_shows_a_rollback),
		IN_BOX(damage_to_an_archived_record_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
