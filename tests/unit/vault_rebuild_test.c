/* The promises are files: without index.db, or after a crash between file and index, nothing promised is forgotten. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/vault_fixture.h"

static void
expect_same_state(struct vault_box *box, const struct tk_store_state *before)
{
	struct tk_store_state after;

	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &after, NULL), TK_OK);
	assert_int_equal(after.receipt_counter, before->receipt_counter);
	assert_int_equal(after.promised_epoch, before->promised_epoch);
	assert_memory_equal(&after.promised_grant, &before->promised_grant, sizeof(after.promised_grant));
	assert_memory_equal(&after.head, &before->head, sizeof(after.head));
	assert_memory_equal(&after.vault_incarnation, &before->vault_incarnation, sizeof(after.vault_incarnation));
	assert_int_equal(after.read_only, before->read_only);
}

/* Everything a source or reader can see is as before, and the next receipt has the next number. */
static void
survives(struct vault_box *box, const char *damage)
{
	struct tk_store_state before;
	struct tk_store_point *points = NULL;
	struct tk_buf grant_record = {0}, vote = {0}, record = {0}, first = {0}, again = {0};
	struct tk_grant grant = {0};
	struct tk_receipt last, next;
	struct made_pack pack;
	const struct made_pack *packs[] = {&pack};
	struct tk_head at;
	size_t count;

	publish_small(box, 1, NULL, NULL);
	publish_small(box, 2, NULL, NULL);
	make_small_pack(box, &pack);
	store_pack(box, &pack);
	make_point(box, 3, &pack, 1, packs, 1, &record, &at);
	assert_int_equal(publish(box, &record, &first, NULL), TK_OK);
	assert_int_equal(tk_receipt_decode(first.data, first.len_bytes, &last, NULL), TK_OK);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &before, NULL), TK_OK);
	box_close(box);
	box_shell(box, damage);
	box_open(box);
	expect_same_state(box, &before);
	assert_int_equal(tk_vault_list_points(box->vault, &box->domain, &points, &count, NULL), TK_OK);
	assert_int_equal(count, 3);
	assert_int_equal(points[2].received_ns, last.time_ns);
	assert_int_equal(publish(box, &record, &again, NULL), TK_OK);
	assert_int_equal(first.len_bytes, again.len_bytes);
	assert_memory_equal(first.data, again.data, first.len_bytes);
	publish_small(box, 4, NULL, &next);
	assert_int_equal(next.counter, last.counter + 1);
	make_grant(box, 2, NULL, &grant, &grant_record);
	assert_int_equal(tk_vault_vote(box->vault, grant_record.data, grant_record.len_bytes, &vote, NULL), TK_OK);
	free(points);
	made_pack_release(&pack);
	tk_buf_release(&grant_record);
	tk_buf_release(&vote);
	tk_buf_release(&record);
	tk_buf_release(&first);
	tk_buf_release(&again);
}

static void
a_deleted_index_is_rebuilt(void **state)
{
	survives(*state, "rm \"$1\"/index.db*");
}

static void
a_scribbled_index_is_rebuilt(void **state)
{
	survives(*state, "rm -f \"$1\"/index.db-*; head -c 9000 /dev/urandom | dd of=\"$1/index.db\" bs=1 seek=4096 conv=notrunc status=none");
}

static void
an_index_that_is_no_database_is_rebuilt(void **state)
{
	survives(*state, "rm -f \"$1\"/index.db-*; echo nonsense > \"$1/index.db\"");
}

static void
a_promised_epoch_is_known_without_the_index(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf grant_record = {0}, vote = {0};
	struct tk_store_state before;
	struct tk_grant grant = {0};

	publish_small(box, 1, NULL, NULL);
	make_grant(box, 9, NULL, &grant, &grant_record);
	assert_int_equal(tk_vault_vote(box->vault, grant_record.data, grant_record.len_bytes, &vote, NULL), TK_OK);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &before, NULL), TK_OK);
	box_close(box);
	box_shell(box, "rm \"$1\"/index.db*");
	box_open(box);
	expect_same_state(box, &before);
	tk_buf_release(&grant_record);
	tk_buf_release(&vote);
}

static void
a_receipt_on_disk_without_a_row_is_a_promise(void **state)
{
	struct vault_box *box = *state;
	struct tk_store_point *points = NULL;
	struct tk_store_state after;
	struct tk_receipt next;
	size_t count;

	/* The state of a crash between receipt and transaction: the files of today, the index of yesterday. */
	publish_small(box, 1, NULL, NULL);
	box_close(box);
	box_shell(box, "cp \"$1/index.db\" \"$1.index\"");
	box_open(box);
	publish_small(box, 2, NULL, NULL);
	box_close(box);
	box_shell(box, "rm -f \"$1\"/index.db*; cp \"$1.index\" \"$1/index.db\"");
	box_open(box);
	/* (Here its pack's row is lost as well, so it is no head; after a crash it is there.) */
	assert_int_equal(tk_vault_list_points(box->vault, &box->domain, &points, &count, NULL), TK_OK);
	assert_int_equal(count, 2);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &after, NULL), TK_OK);
	assert_int_equal(after.receipt_counter, 2);
	publish_small(box, 3, NULL, &next);
	assert_int_equal(next.counter, 3);
	free(points);
}

static void
a_point_on_disk_without_a_receipt_was_never_promised(void **state)
{
	struct vault_box *box = *state;
	struct tk_store_point *points = NULL;
	size_t count;

	publish_small(box, 1, NULL, NULL);
	box_close(box);
	box_shell(box, "rm \"$1\"/index.db* \"$1\"/domains/*/receipts/*");
	box_open(box);
	assert_int_equal(box_count(box, "domains/*/points/*"), 0);
	assert_int_equal(tk_vault_list_points(box->vault, &box->domain, &points, &count, NULL), TK_OK);
	assert_int_equal(count, 0);
	free(points);
}

static void
an_index_that_knows_a_receipt_more_than_the_files_shows_a_rollback(void **state)
{
	struct vault_box *box = *state;
	struct tk_store_state now;

	publish_small(box, 1, NULL, NULL);
	publish_small(box, 2, NULL, NULL);
	box_close(box);
	box_shell(box, "rm \"$(ls \"$1\"/domains/*/receipts/* | tail -1)\"");
	box_open(box);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_true(now.read_only);
}

static void
a_receipt_that_cannot_be_read_leaves_its_number_unknown_so_the_vault_gives_no_more(void **state)
{
	struct vault_box *box = *state;
	struct tk_store_point *points = NULL;
	struct tk_store_state now;
	size_t count;

	publish_small(box, 1, NULL, NULL);
	publish_small(box, 2, NULL, NULL);
	box_close(box);
	box_shell(box, "rm \"$1\"/index.db*; flip 60 \"$(ls \"$1\"/domains/*/receipts/* | tail -1)\"");
	box_open(box);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_true(now.read_only);
	assert_int_equal(now.head.sequence, 2);
	assert_int_equal(tk_vault_list_points(box->vault, &box->domain, &points, &count, NULL), TK_OK);
	assert_int_equal(count, 2);
	free(points);
}

static void
a_point_whose_pack_was_damaged_gets_its_receipt_again_once_the_pack_is_back(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf record = {0}, first = {0}, again = {0};
	struct tk_pack_names missing = {0};
	struct tk_store_state now;
	struct made_pack pack;
	const struct made_pack *packs[] = {&pack};
	struct tk_head at;
	bool have;

	make_small_pack(box, &pack);
	store_pack(box, &pack);
	make_point(box, 1, &pack, 1, packs, 1, &record, &at);
	assert_int_equal(publish(box, &record, &first, NULL), TK_OK);
	box_close(box);
	box_shell(box, "rm \"$1\"/index.db*; flip 20 \"$(echo \"$1\"/packs/*/*)\"");
	box_open(box);
	assert_int_equal(tk_vault_have(box->vault, &pack.ident.name, 1, &have, NULL), TK_OK);
	assert_false(have);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_int_equal(now.head.epoch, 0);
	assert_int_equal(now.promised_epoch, 1);
	assert_int_equal(publish(box, &record, &again, &missing), TK_EMISSING);
	assert_int_equal(missing.count, 1);
	store_pack(box, &pack);
	assert_int_equal(publish(box, &record, &again, NULL), TK_OK);
	assert_memory_equal(first.data, again.data, first.len_bytes);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_memory_equal(&now.head, &at, sizeof(at));
	tk_pack_names_release(&missing);
	made_pack_release(&pack);
	tk_buf_release(&record);
	tk_buf_release(&first);
	tk_buf_release(&again);
}

#define IN_BOX(test) cmocka_unit_test_setup_teardown(test, box_setup, box_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOX(a_deleted_index_is_rebuilt),
		IN_BOX(a_scribbled_index_is_rebuilt),
		IN_BOX(an_index_that_is_no_database_is_rebuilt),
		IN_BOX(a_promised_epoch_is_known_without_the_index),
		IN_BOX(a_receipt_on_disk_without_a_row_is_a_promise),
		IN_BOX(a_point_on_disk_without_a_receipt_was_never_promised),
		IN_BOX(an_index_that_knows_a_receipt_more_than_the_files_shows_a_rollback),
		IN_BOX(a_receipt_that_cannot_be_read_leaves_its_number_unknown_so_the_vault_gives_no_more),
		IN_BOX(a_point_whose_pack_was_damaged_gets_its_receipt_again_once_the_pack_is_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
