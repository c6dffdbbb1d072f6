/* A vault that was set back catches up, and is let in once what it is known to have promised is there again and enough others were asked. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/crypto/sign.h"
#include "tests/unit/vault_fixture.h"

/* A point over a new small pack. */
struct made_point {
	struct made_pack pack;
	struct tk_buf record;
	struct tk_head at;
};

static void
made_point_release(struct made_point *made)
{
	made_pack_release(&made->pack);
	tk_buf_release(&made->record);
}

/* Of epoch 1; the first one opens it. */
static void
make(struct vault_box *box, uint64_t sequence, struct made_point *out)
{
	struct tk_point point = {.at = {1, sequence, {{0}}}, .grant = box->grant_digest, .root_blob = 1};
	struct tk_grant grant;

	memset(out, 0, sizeof(*out));
	make_small_pack(box, &out->pack);
	point.packs = &out->pack.ident;
	point.pack_count = 1;
	point.root_pack = out->pack.ident.name;
	assert_int_equal(tk_grant_decode(box->grant.data, box->grant.len_bytes, &grant, NULL), TK_OK);
	if (sequence == 1)
		make_opening(box, &grant, &box->grant, &point.opening);
	make_any_point(box, &point, NULL, &out->record);
	out->at = point.at;
	tk_buf_release(&point.opening);
}

static enum tk_rc
give(struct vault_box *box, const struct made_point *made, struct tk_buf *receipt)
{
	store_pack(box, &made->pack);
	return publish(box, &made->record, receipt, NULL);
}

static void
reopen(struct vault_box *box)
{
	box_close(box);
	box_open(box);
}

static void
vote_for(struct vault_box *box, uint64_t epoch, struct tk_grant *grant, struct tk_buf *vote)
{
	struct tk_buf record = {0};

	make_grant(box, epoch, NULL, grant, &record);
	assert_int_equal(tk_vault_vote(box->vault, record.data, record.len_bytes, vote, NULL), TK_OK);
	tk_buf_release(&record);
}

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

static void
expect_behind(struct vault_box *box, const struct tk_buf *mark)
{
	struct tk_store_state now;

	show_marks(box, &mark, 1, &now);
	assert_true(now.read_only);
}

/* Not let in, and the lacks are these, in this order. */
static void
expect_lacks(struct vault_box *box, const char *first, const char *second)
{
	struct tk_vault_lacks lacks;
	struct tk_err err;

	assert_int_equal(tk_vault_readmit(box->vault, false, &lacks, &err), TK_EBEHIND);
	assert_int_equal(lacks.count, second ? 2 : 1);
	if (!strstr(lacks.lines[0], first) || !strstr(err.text, first) || (second && !strstr(lacks.lines[1], second)))
		fail_msg("lacks: %s | %s", lacks.lines[0], second ? lacks.lines[1] : "");
	tk_vault_lacks_release(&lacks);
}

static void
let_in(struct vault_box *box)
{
	struct tk_vault_lacks lacks;
	struct tk_store_state now;
	struct tk_err err;

	if (tk_vault_readmit(box->vault, false, &lacks, &err))
		fail_msg("readmit: %s", err.text);
	assert_int_equal(lacks.count, 0);
	tk_vault_lacks_release(&lacks);
	reopen(box);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_false(now.read_only);
}

static void
ask_both(struct vault_box *box)
{
	const struct tk_id both[] = {other_site_id(0), other_site_id(1)};

	show_asked(box, both, 2);
}

/* Points 1 and 2, of which it forgets the second; it knows so. */
static void
forget_a_point(struct vault_box *box, struct made_point points[2], struct tk_buf *mark)
{
	make(box, 1, &points[0]);
	make(box, 2, &points[1]);
	assert_int_equal(give(box, &points[0], NULL), TK_OK);
	copy_aside(box);
	assert_int_equal(give(box, &points[1], mark), TK_OK);
	set_back(box);
	expect_behind(box, mark);
}

static void
a_vault_that_is_behind_takes_points_and_gives_no_receipts(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf mark = {0}, receipt = {0}, vote = {0};
	struct tk_store_point *listed = NULL;
	struct made_point points[2];
	size_t count;

	forget_a_point(box, points, &mark);
	assert_int_equal(give(box, &points[1], &receipt), TK_EBEHIND);
	assert_int_equal(receipt.len_bytes, 0);
	assert_int_equal(tk_vault_vote(box->vault, box->grant.data, box->grant.len_bytes, &vote, NULL), TK_EBEHIND);
	reopen(box);
	assert_int_equal(tk_vault_list_points(box->vault, &box->domain, &listed, &count, NULL), TK_OK);
	assert_int_equal(count, 2);
	assert_memory_equal(&listed[1].at, &points[1].at, sizeof(points[1].at));
	assert_int_equal(give(box, &points[1], &receipt), TK_EBEHIND);
	free(listed);
	tk_buf_release(&mark);
	made_point_release(&points[0]);
	made_point_release(&points[1]);
}

static void
it_is_let_in_once_its_point_is_back_and_the_others_were_asked(void **state)
{
	struct vault_box *box = *state;
	const struct tk_id first = other_site_id(0), nobody = {{9}};
	struct tk_buf mark = {0}, receipt = {0};
	struct tk_receipt before, after;
	struct made_point points[2];

	/* Whom it asked before does not count. */
	ask_both(box);
	forget_a_point(box, points, &mark);
	expect_lacks(box, "point 2 of epoch 1 is not here", "0 of 2");
	assert_int_equal(give(box, &points[1], NULL), TK_EBEHIND);
	expect_lacks(box, "0 of 2", NULL);
	show_asked(box, &first, 1);
	show_asked(box, &nobody, 1);
	reopen(box);
	expect_lacks(box, "1 of 2", NULL);
	ask_both(box);
	let_in(box);
	/* The receipt that was withheld is given by the vault as it is now. */
	assert_int_equal(give(box, &points[1], &receipt), TK_OK);
	assert_int_equal(tk_receipt_decode(mark.data, mark.len_bytes, &before, NULL), TK_OK);
	assert_int_equal(tk_receipt_decode(receipt.data, receipt.len_bytes, &after, NULL), TK_OK);
	assert_memory_not_equal(&before.vault_incarnation, &after.vault_incarnation, sizeof(before.vault_incarnation));
	tk_buf_release(&mark);
	tk_buf_release(&receipt);
	made_point_release(&points[0]);
	made_point_release(&points[1]);
}

static void
force_lets_it_in_and_says_what_it_overrides(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf mark = {0}, receipt = {0};
	struct made_point points[2];
	struct tk_vault_lacks lacks;

	forget_a_point(box, points, &mark);
	assert_int_equal(tk_vault_readmit(box->vault, true, &lacks, NULL), TK_OK);
	assert_int_equal(lacks.count, 2);
	assert_non_null(strstr(lacks.lines[0], "source, domain "));
	tk_vault_lacks_release(&lacks);
	assert_int_equal(give(box, &points[1], &receipt), TK_OK);
	/* It is not behind: there is nothing to say. */
	assert_int_equal(tk_vault_readmit(box->vault, false, &lacks, NULL), TK_OK);
	assert_int_equal(lacks.count, 0);
	tk_vault_lacks_release(&lacks);
	tk_buf_release(&mark);
	tk_buf_release(&receipt);
	made_point_release(&points[0]);
	made_point_release(&points[1]);
}

/* It had voted for epoch 2 when W brings the next point of epoch 1 to it: were that receipt given as of then, W would count it. */
static void
a_vote_that_was_forgotten_is_taken_up_again_and_fences_what_came_meanwhile(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf vote = {0}, again = {0}, receipt = {0};
	struct made_point first, second, third;
	struct tk_receipt given;
	struct tk_grant grant = {0};
	struct tk_store_state now;

	make(box, 1, &first);
	make(box, 2, &second);
	make(box, 3, &third);
	assert_int_equal(give(box, &first, NULL), TK_OK);
	copy_aside(box);
	vote_for(box, 2, &grant, &vote);
	set_back(box);
	expect_behind(box, &vote);
	assert_int_equal(give(box, &second, NULL), TK_EBEHIND);
	ask_both(box);
	let_in(box);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_int_equal(now.promised_epoch, 2);
	assert_memory_equal(&now.promised_grant, &grant.digest, sizeof(grant.digest));
	assert_int_equal(give(box, &second, &receipt), TK_OK);
	assert_int_equal(tk_receipt_decode(receipt.data, receipt.len_bytes, &given, NULL), TK_OK);
	assert_int_equal(given.promised_epoch, 2);
	assert_int_equal(give(box, &third, NULL), TK_EFENCED);
	/* The same vote, to the letter. */
	vote_for(box, 2, &grant, &again);
	assert_int_equal(again.len_bytes, vote.len_bytes);
	assert_memory_equal(again.data, vote.data, vote.len_bytes);
	tk_buf_release(&vote);
	tk_buf_release(&again);
	tk_buf_release(&receipt);
	made_point_release(&first);
	made_point_release(&second);
	made_point_release(&third);
}

static void
a_vault_that_is_behind_takes_what_it_missed_of_older_epochs(void **state)
{
	struct vault_box *box = *state;
	struct tk_grant second = {0}, third = {0};
	struct tk_buf vote = {0}, mark = {0};
	struct tk_store_point *listed = NULL;
	struct made_point points[2];
	struct tk_store_state now;
	size_t count;

	make(box, 1, &points[0]);
	make(box, 2, &points[1]);
	assert_int_equal(give(box, &points[0], NULL), TK_OK);
	vote_for(box, 2, &second, &vote);
	assert_int_equal(give(box, &points[1], NULL), TK_EFENCED);
	copy_aside(box);
	vote_for(box, 3, &third, &mark);
	set_back(box);
	expect_behind(box, &mark);
	assert_int_equal(give(box, &points[1], NULL), TK_EBEHIND);
	assert_int_equal(tk_vault_list_points(box->vault, &box->domain, &listed, &count, NULL), TK_OK);
	assert_int_equal(count, 2);
	/* The older epoch's point takes nothing back. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
		assert_int_equal(now.promised_epoch, 2);
		assert_memory_equal(&now.promised_grant, &second.digest, sizeof(second.digest));
		reopen(box);
	}
	free(listed);
	tk_buf_release(&vote);
	tk_buf_release(&mark);
	made_point_release(&points[0]);
	made_point_release(&points[1]);
}

static void
a_number_that_it_voted_for_twice_keeps_it_out(void **state)
{
	struct vault_box *box = *state;
	struct tk_grant grant = {0}, rival = {.created_ns = 5};
	struct tk_buf vote = {0}, other = {0};
	struct made_point first;

	make(box, 1, &first);
	assert_int_equal(give(box, &first, NULL), TK_OK);
	copy_aside(box);
	vote_for(box, 2, &grant, &vote);
	set_back(box);
	vote_for(box, 2, &rival, &other);
	expect_behind(box, &vote);
	ask_both(box);
	expect_lacks(box, "epoch 2 is promised to another grant", NULL);
	tk_buf_release(&vote);
	tk_buf_release(&other);
	made_point_release(&first);
}

static void
a_point_that_its_forgotten_vote_named_must_be_back(void **state)
{
	struct vault_box *box = *state;
	struct tk_grant grant = {0};
	struct made_point points[2];
	struct tk_buf vote = {0};

	make(box, 1, &points[0]);
	make(box, 2, &points[1]);
	assert_int_equal(give(box, &points[0], NULL), TK_OK);
	copy_aside(box);
	assert_int_equal(give(box, &points[1], NULL), TK_OK);
	vote_for(box, 2, &grant, &vote);
	set_back(box);
	expect_behind(box, &vote);
	ask_both(box);
	expect_lacks(box, "point 2 of epoch 1 is not here", NULL);
	assert_int_equal(give(box, &points[1], NULL), TK_EBEHIND);
	let_in(box);
	tk_buf_release(&vote);
	made_point_release(&points[0]);
	made_point_release(&points[1]);
}

static void
an_epoch_that_another_site_promised_must_be_known(void **state)
{
	const uint8_t seed[TK_KEY_BYTES] = {200, 1};
	struct vault_box *box = *state;
	struct tk_receipt theirs = {.suite = TK_SUITE_AES, .domain = box->domain, .site = other_site_id(1), .at = {7, 3, {{1}}}, .counter = 1, .promised_epoch = 7};
	struct tk_buf mark = {0}, told = {0};
	const struct tk_buf *shown = &told;
	struct made_point points[2];
	struct tk_store_state now;

	forget_a_point(box, points, &mark);
	assert_int_equal(give(box, &points[1], NULL), TK_EBEHIND);
	ask_both(box);
	assert_int_equal(tk_receipt_seal(&theirs, seed, &told, NULL), TK_OK);
	show_marks(box, &shown, 1, &now);
	expect_lacks(box, "promised epoch 7", NULL);
	tk_buf_release(&mark);
	tk_buf_release(&told);
	made_point_release(&points[0]);
	made_point_release(&points[1]);
}

static void
a_receipt_that_was_lost_is_made_again_with_its_point(void **state)
{
	struct vault_box *box = *state;
	struct made_point points[2];

	make(box, 1, &points[0]);
	make(box, 2, &points[1]);
	assert_int_equal(give(box, &points[0], NULL), TK_OK);
	assert_int_equal(give(box, &points[1], NULL), TK_OK);
	box_close(box);
	box_shell(box, "rm \"$(ls \"$1\"/domains/*/receipts/* | tail -1)\"");
	box_open(box);
	ask_both(box);
	expect_lacks(box, "point 2 of epoch 1, for which this vault gave a receipt, is lost", NULL);
	assert_int_equal(give(box, &points[1], NULL), TK_EBEHIND);
	let_in(box);
	assert_int_equal(box_count(box, "domains/*/points/*"), 2);
	made_point_release(&points[0]);
	made_point_release(&points[1]);
}

static void
force_drops_the_points_that_are_lost(void **state)
{
	struct vault_box *box = *state;
	struct tk_store_state now;
	struct made_point points[2];
	struct tk_vault_lacks lacks;

	make(box, 1, &points[0]);
	make(box, 2, &points[1]);
	assert_int_equal(give(box, &points[0], NULL), TK_OK);
	assert_int_equal(give(box, &points[1], NULL), TK_OK);
	box_close(box);
	box_shell(box, "rm \"$(ls \"$1\"/domains/*/receipts/* | tail -1)\"");
	box_open(box);
	assert_int_equal(tk_vault_readmit(box->vault, true, &lacks, NULL), TK_OK);
	tk_vault_lacks_release(&lacks);
	reopen(box);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_false(now.read_only);
	assert_int_equal(now.head.sequence, 1);
	made_point_release(&points[0]);
	made_point_release(&points[1]);
}

/* Set back to before it was let in the last time. */
static void
promises_of_an_incarnation_that_it_forgot_are_settled_too(void **state)
{
	struct vault_box *box = *state;
	struct made_point points[2], third;
	struct tk_vault_lacks lacks;
	struct tk_store_state now;
	struct tk_buf mark = {0}, later = {0};
	const struct tk_buf *shown = &later;

	forget_a_point(box, points, &mark);
	copy_aside(box);
	assert_int_equal(tk_vault_readmit(box->vault, true, &lacks, NULL), TK_OK);
	tk_vault_lacks_release(&lacks);
	make(box, 3, &third);
	assert_int_equal(give(box, &third, &later), TK_OK);
	set_back(box);
	expect_behind(box, &later);
	assert_int_equal(give(box, &third, NULL), TK_EBEHIND);
	ask_both(box);
	let_in(box);
	show_marks(box, &shown, 1, &now);
	assert_false(now.read_only);
	tk_buf_release(&mark);
	tk_buf_release(&later);
	made_point_release(&points[0]);
	made_point_release(&points[1]);
	made_point_release(&third);
}

#define IN_BOX(test) cmocka_unit_test_setup_teardown(test, box_setup, box_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOX(a_vault_that_is_behind_takes_points_and_gives_no_receipts),
		IN_BOX(it_is_let_in_once_its_point_is_back_and_the_others_were_asked),
		IN_BOX(force_lets_it_in_and_says_what_it_overrides),
		IN_BOX(a_vote_that_was_forgotten_is_taken_up_again_and_fences_what_came_meanwhile),
		IN_BOX(a_vault_that_is_behind_takes_what_it_missed_of_older_epochs),
		IN_BOX(a_number_that_it_voted_for_twice_keeps_it_out),
		IN_BOX(a_point_that_its_forgotten_vote_named_must_be_back),
		IN_BOX(an_epoch_that_another_site_promised_must_be_known),
		IN_BOX(a_receipt_that_was_lost_is_made_again_with_its_point),
		IN_BOX(force_drops_the_points_that_are_lost),
		IN_BOX(promises_of_an_incarnation_that_it_forgot_are_settled_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
