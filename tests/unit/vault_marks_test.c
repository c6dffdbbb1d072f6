/* Promises as marks: a vault that was set back is told so by whoever holds one that it forgot, and tells others what it was told of them. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/crypto/sign.h"
#include "tests/unit/vault_fixture.h"

static void
copy_aside(struct vault_box *box)
{
	box_close(box);
	box_shell(box, "cp -a \"$1\" \"$1.copy\"");
	box_open(box);
}

static void
set_back(struct vault_box *box)
{
	box_close(box);
	box_shell(box, "rm -r \"$1\"; mv \"$1.copy\" \"$1\"");
	box_open(box);
}

static bool
reads_only_once_shown(struct vault_box *box, const struct tk_buf *mark)
{
	struct tk_store_state now;

	show_marks(box, &mark, 1, &now);
	return now.read_only;
}

static void
vote_for(struct vault_box *box, uint64_t epoch, struct tk_buf *vote)
{
	struct tk_grant grant = {0};
	struct tk_buf record = {0};

	make_grant(box, epoch, NULL, &grant, &record);
	assert_int_equal(tk_vault_vote(box->vault, record.data, record.len_bytes, vote, NULL), TK_OK);
	tk_buf_release(&record);
}

static void
a_vault_that_was_set_back_promises_nothing_until_it_is_readmitted(void **state)
{
	struct vault_box *box = *state;
	struct tk_vault_lacks lacks;
	struct tk_store_state now;
	struct tk_buf first = {0}, last = {0}, vote = {0};
	struct tk_id old;

	publish_small_record(box, 1, &first);
	copy_aside(box);
	publish_small_record(box, 2, &last);
	assert_false(reads_only_once_shown(box, &last));
	set_back(box);
	assert_false(reads_only_once_shown(box, &first));
	assert_true(reads_only_once_shown(box, &last));

	/* Durably so. */
	box_close(box);
	box_open(box);
	assert_int_equal(tk_vault_vote(box->vault, box->grant.data, box->grant.len_bytes, &vote, NULL), TK_EBEHIND);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_true(now.read_only);
	assert_int_equal(now.head.sequence, 1);
	old = now.vault_incarnation;
	assert_int_equal(tk_vault_readmit(box->vault, true, &lacks, NULL), TK_OK);
	tk_vault_lacks_release(&lacks);
	box_close(box);
	box_open(box);
	/* What the former incarnation promised is settled with the readmission. */
	assert_false(reads_only_once_shown(box, &last));
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_memory_not_equal(&old, &now.vault_incarnation, sizeof(old));
	tk_buf_release(&vote);
	tk_buf_release(&first);
	tk_buf_release(&last);
}

static void
a_number_that_was_given_anew_does_not_hide_a_forgotten_receipt(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf lost = {0}, other = {0};

	publish_small_record(box, 1, &other);
	copy_aside(box);
	publish_small_record(box, 2, &lost);
	set_back(box);
	for (uint64_t sequence = 3; sequence < 6; sequence++)
		publish_small_record(box, sequence, &other);
	assert_false(reads_only_once_shown(box, &other));
	assert_true(reads_only_once_shown(box, &lost));
	tk_buf_release(&lost);
	tk_buf_release(&other);
}

static void
a_forgotten_vote_is_noticed(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf receipt = {0}, vote = {0}, other = {0};

	publish_small_record(box, 1, &receipt);
	copy_aside(box);
	vote_for(box, 2, &vote);
	assert_false(reads_only_once_shown(box, &vote));
	set_back(box);
	/* Its number is taken by something else. */
	publish_small_record(box, 2, &other);
	assert_false(reads_only_once_shown(box, &other));
	assert_true(reads_only_once_shown(box, &vote));
	tk_buf_release(&receipt);
	tk_buf_release(&vote);
	tk_buf_release(&other);
}

static void
votes_and_receipts_take_numbers_of_one_row_even_over_a_restart(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf record = {0};
	struct tk_receipt receipt;
	struct tk_vote vote;

	publish_small(box, 1, NULL, &receipt);
	assert_int_equal(receipt.counter, 1);
	vote_for(box, 1, &record);
	tk_buf_clear(&record);
	vote_for(box, 7, &record);
	assert_int_equal(tk_vote_decode(record.data, record.len_bytes, &vote, NULL), TK_OK);
	assert_int_equal(vote.counter, 3);
	box_close(box);
	box_open(box);
	tk_buf_clear(&record);
	vote_for(box, 8, &record);
	assert_int_equal(tk_vote_decode(record.data, record.len_bytes, &vote, NULL), TK_OK);
	assert_int_equal(vote.counter, 4);
	tk_buf_release(&record);
}

static void
a_receipt_of_a_domain_that_went_with_the_rollback_is_noticed(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf receipt = {0};

	publish_small_record(box, 1, &receipt);
	box_close(box);
	box_shell(box, "rm -r \"$1\"/domains/* \"$1\"/index.db*");
	box_open(box);
	assert_true(reads_only_once_shown(box, &receipt));
	tk_buf_release(&receipt);
}

/* A receipt of another site. */
static void
other_site(struct vault_box *box, uint8_t site, uint64_t counter, const struct tk_id *domain, struct tk_buf *record)
{
	struct tk_receipt receipt = {.suite = TK_SUITE_AES, .domain = *domain, .site_name = "other", .counter = counter, .promised_epoch = 1, .time_ns = 1};
	uint8_t seed[TK_KEY_BYTES];

	(void)box;
	memset(seed, site, sizeof(seed));
	memset(&receipt.site, site, sizeof(receipt.site));
	receipt.at = (struct tk_head){1, counter, {{site}}};
	tk_buf_clear(record);
	assert_int_equal(tk_receipt_seal(&receipt, seed, record, NULL), TK_OK);
}

static void
expect_kept(struct vault_box *box, size_t count, uint64_t first_counter)
{
	struct tk_marks *marks = calloc(1, sizeof(*marks));
	struct tk_buf list = {0};

	assert_non_null(marks);
	assert_int_equal(tk_vault_get_record(box->vault, &box->domain, TK_RECORD_MARKS, 0, &list, NULL), TK_OK);
	assert_int_equal(tk_marks_decode(list.data, list.len_bytes, marks, NULL), TK_OK);
	assert_int_equal(marks->count, count);
	assert_int_equal(marks->mark[0].counter, first_counter);
	tk_buf_release(&list);
	free(marks);
}

static void
the_newest_promise_of_each_other_site_is_kept_and_told(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf older = {0}, newer = {0}, third = {0}, foreign = {0};
	const struct tk_buf *all[] = {&newer, &third, &foreign}, *again[] = {&older};
	struct tk_id elsewhere = {{9}};
	struct tk_store_state now;

	assert_int_equal(tk_vault_get_record(box->vault, &box->domain, TK_RECORD_MARKS, 0, &older, NULL), TK_ENOENT);
	other_site(box, 21, 4, &box->domain, &older);
	other_site(box, 21, 5, &box->domain, &newer);
	other_site(box, 22, 1, &box->domain, &third);
	other_site(box, 23, 1, &elsewhere, &foreign);
	show_marks(box, all, 3, &now);
	assert_false(now.read_only);
	show_marks(box, again, 1, &now);
	expect_kept(box, 2, 5);
	box_close(box);
	box_open(box);
	expect_kept(box, 2, 5);
	/* What is damaged is told anew. */
	box_shell(box, "for f in \"$1\"/marks/*; do printf XX | dd of=$f bs=1 seek=60 conv=notrunc status=none; done");
	show_marks(box, again, 1, &now);
	expect_kept(box, 1, 4);
	tk_buf_release(&older);
	tk_buf_release(&newer);
	tk_buf_release(&third);
	tk_buf_release(&foreign);
}

static void
a_list_of_marks_with_a_fault_changes_nothing(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf record = {0}, list = {0};
	struct tk_marks *marks = calloc(1, sizeof(*marks));
	struct tk_store_state now;

	assert_non_null(marks);
	other_site(box, 21, 4, &box->domain, &record);
	assert_int_equal(tk_mark_decode(record.data, record.len_bytes, &marks->mark[0], NULL), TK_OK);
	marks->count = 1;
	assert_int_equal(tk_marks_encode(marks, &list, NULL), TK_OK);
	for (size_t i = 0; i < list.len_bytes; i++) {
		list.data[i] ^= 0x40;
		assert_int_not_equal(tk_vault_state(box->vault, &box->domain, &list, &now, NULL), TK_OK);
		list.data[i] ^= 0x40;
	}
	for (size_t len = 1; len < list.len_bytes; len++) {
		struct tk_buf part = {.data = list.data, .len_bytes = len};

		assert_int_not_equal(tk_vault_state(box->vault, &box->domain, &part, &now, NULL), TK_OK);
	}
	tk_buf_clear(&record);
	assert_int_equal(tk_vault_get_record(box->vault, &box->domain, TK_RECORD_MARKS, 0, &record, NULL), TK_ENOENT);
	tk_buf_release(&record);
	tk_buf_release(&list);
	free(marks);
}

#define IN_BOX(test) cmocka_unit_test_setup_teardown(test, box_setup, box_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOX(a_vault_that_was_set_back_promises_nothing_until_it_is_readmitted),
		IN_BOX(a_number_that_was_given_anew_does_not_hide_a_forgotten_receipt),
		IN_BOX(a_forgotten_vote_is_noticed),
		IN_BOX(votes_and_receipts_take_numbers_of_one_row_even_over_a_restart),
		IN_BOX(a_receipt_of_a_domain_that_went_with_the_rollback_is_noticed),
		IN_BOX(the_newest_promise_of_each_other_site_is_kept_and_told),
		IN_BOX(a_list_of_marks_with_a_fault_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
