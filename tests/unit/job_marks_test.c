/* A site that was set back: noticed by whoever the others told of its promises, and what it gave before counts no more. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/job_fixture.h"
#include "tests/unit/tree_kit.h"

static int
three_sites(void **state)
{
	struct dice dice = {11};
	struct job_box *box;

	if (job_setup(state))
		return -1;
	box = *state;
	job_add_sites(box, 3);
	box->receipts_wanted = 2;
	tree_fill(box->tree, &dice);
	return 0;
}

static int
one_site(void **state)
{
	struct dice dice = {12};

	if (job_setup(state))
		return -1;
	tree_fill(((struct job_box *)*state)->tree, &dice);
	return 0;
}

/* What site 0 forgets had counted: a receipt that comes after the run had enough is told to nobody before the next run. */
static void
set_back(struct job_box *box, struct dice *dice)
{
	size_t wanted = box->receipts_wanted;

	box->receipts_wanted = 3;
	job_backup_ok(box);
	job_close(box);
	job_shell(box, "cp -a \"$4/s0\" \"$4/old\"");
	tree_edit(box->tree, dice, 4);
	job_backup_ok(box);
	job_close(box);
	job_shell(box, "rm -r \"$4/s0\"; mv \"$4/old\" \"$4/s0\"");
	tree_edit(box->tree, dice, 4);
	box->receipts_wanted = wanted;
}

/* The run goes on with the others; site 0 is found out. */
static void
expect_found_out(struct job_box *box)
{
	struct tk_err err;

	if (job_backup(box, &err))
		fail_msg("backup: %s", err.text);
	assert_true(box->result.ack_met);
	assert_false(box->result.sites[0].has_receipt);
	assert_int_equal(box->result.sites[0].failure.rc, TK_EBEHIND);
	assert_true(box->result.sites[1].has_receipt);
	assert_true(box->result.sites[2].has_receipt);
}

static void
its_writer_notices_a_vault_that_was_set_back(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {1};

	set_back(box, &dice);
	expect_found_out(box);
}

static void
a_writer_that_knows_nothing_notices_it_through_the_other_sites(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {2};

	set_back(box, &dice);
	job_shell(box, "rm -r \"$2\"");
	expect_found_out(box);
	assert_int_equal(box->result.epoch_won, 2);
}

static void
a_forgotten_vote_is_noticed_through_the_other_sites(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {3};

	job_backup_ok(box);
	job_close(box);
	job_shell(box, "cp -a \"$4/s0\" \"$4/old\"; rm -r \"$2\"");
	/* All three vote for a new epoch; its point reaches none of them. */
	for (size_t i = 0; i < 3; i++)
		atomic_store(&box->sites[i].plan.publish_rc, TK_EUNREACH);
	assert_int_not_equal(job_backup(box, NULL), TK_OK);
	for (size_t i = 0; i < 3; i++)
		atomic_store(&box->sites[i].plan.publish_rc, TK_OK);
	job_close(box);
	job_shell(box, "rm -r \"$4/s0\" \"$2\"; mv \"$4/old\" \"$4/s0\"");
	tree_edit(box->tree, &dice, 4);
	expect_found_out(box);
}

static void
a_receipt_of_a_site_that_was_set_back_since_does_not_count(void **state)
{
	struct job_box *box = *state;

	/* Its vote and its receipt were given; then it is set back. */
	box->receipts_wanted = 3;
	atomic_store(&box->sites[0].plan.behind_after, 2);
	assert_int_equal(job_backup(box, NULL), TK_OK);
	assert_false(box->result.ack_met);
	assert_false(box->result.sites[0].has_receipt);
	assert_int_equal(box->result.sites[0].failure.rc, TK_EBEHIND);
}

static void
a_vote_of_a_site_that_was_set_back_since_does_not_count(void **state)
{
	struct job_box *box = *state;

	atomic_store(&box->sites[0].plan.behind_after, 1);
	atomic_store(&box->sites[1].plan.behind_after, 1);
	assert_int_equal(job_backup(box, NULL), TK_EUNREACH);
	atomic_store(&box->sites[1].plan.behind_after, 0);
	assert_int_equal(job_backup(box, NULL), TK_OK);
	assert_true(box->result.ack_met);
}

static enum tk_rc
readmit(struct job_box *box, size_t site, char *lack, size_t len_bytes)
{
	struct tk_vault_lacks lacks;
	enum tk_rc rc = tk_vault_readmit(box->sites[site].vault, false, &lacks, NULL);

	(void)snprintf(lack, len_bytes, "%s", lacks.count > 0 ? lacks.lines[0] : "");
	tk_vault_lacks_release(&lacks);
	return rc;
}

static void
a_site_that_was_set_back_is_given_what_it_lacks_and_then_let_in(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {4};
	char lack[TK_VAULT_LACK_MAX];
	char *listing;
	size_t count;

	set_back(box, &dice);
	/* Its promises were to be fetched from both others, and one is away. */
	atomic_store(&box->sites[2].plan.open_rc, TK_EUNREACH);
	box->receipts_wanted = 1;
	assert_int_equal(job_backup(box, NULL), TK_OK);
	assert_non_null(strstr(box->result.sites[0].failure.text, "given what 1 of the other sites hold"));
	free(job_points(box, 0, &count));
	assert_int_equal(count, 3);
	assert_int_equal(readmit(box, 0, lack, sizeof(lack)), TK_EBEHIND);
	assert_non_null(strstr(lack, "1 of 2"));

	atomic_store(&box->sites[2].plan.open_rc, TK_OK);
	assert_int_equal(job_backup(box, NULL), TK_OK);
	assert_non_null(strstr(box->result.sites[0].failure.text, "given what 2 of the other sites hold"));
	if (readmit(box, 0, lack, sizeof(lack)))
		fail_msg("readmit: %s", lack);
	listing = tree_list(box->tree, 1);
	job_check_point(box, &box->result.point, listing, 1);
	tree_edit(box->tree, &dice, 4);
	job_backup_ok(box);
	free(listing);
}

/* What the site forgot is nowhere else: files are read again, the next point is whole. */
static void
the_only_site_that_was_set_back_is_forced_in_and_the_next_run_stores_what_is_lost_anew(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {5};
	struct tk_vault_lacks lacks;
	char *listing;

	job_backup_ok(box);
	job_close(box);
	job_shell(box, "cp -a \"$4/s0\" \"$4/old\"");
	tree_edit(box->tree, &dice, 4);
	job_backup_ok(box);
	job_close(box);
	job_shell(box, "rm -r \"$4/s0\"; mv \"$4/old\" \"$4/s0\"");
	assert_int_equal(job_backup(box, NULL), TK_EUNREACH);
	assert_int_equal(tk_vault_readmit(box->sites[0].vault, true, &lacks, NULL), TK_OK);
	tk_vault_lacks_release(&lacks);
	for (int i = 0; i < 2; i++) {
		tree_edit(box->tree, &dice, 4);
		job_backup_ok(box);
		listing = tree_list(box->tree, 1);
		job_check_point(box, &box->result.point, listing, 1);
		free(listing);
	}
}

/* An empty vault under another key takes the place of site 2, and the source accepts it. */
static void
make_anew(struct job_box *box)
{
	struct tk_journal *journal = NULL;

	job_close(box);
	job_shell(box, "rm -r \"$4/s2\"");
	assert_int_equal(tk_vault_create(box->sites[2].path, box->sites[2].name, NULL), TK_OK);
	assert_int_equal(tk_journal_open(box->state, &journal, NULL), TK_OK);
	assert_int_equal(tk_journal_forget_site(journal, box->sites[2].name, NULL), TK_OK);
	tk_journal_cleanup(&journal);
}

static size_t
points_at(struct job_box *box, size_t site)
{
	size_t count;

	free(job_points(box, site, &count));
	return count;
}

static void
a_site_that_was_made_anew_is_given_the_points_of_older_epochs(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {6};
	struct tk_store_point *points;
	struct tk_head oldest;
	char *listing = tree_list(box->tree, 1);
	size_t count;

	/* Three epochs, of which the last two begin with a home that knows nothing. */
	box->receipts_wanted = 3;
	job_backup_ok(box);
	oldest = box->result.point;
	for (uint64_t epoch = 2; epoch <= 3; epoch++) {
		job_close(box);
		job_shell(box, "rm -r \"$2\"");
		for (int i = 0; i < 2; i++) {
			tree_edit(box->tree, &dice, 4);
			job_backup_ok(box);
			assert_int_equal(box->result.point.epoch, epoch);
		}
	}
	make_anew(box);
	/* One of those that could tell is away: the run after that brings what is still lacking. */
	atomic_store(&box->sites[0].plan.open_rc, TK_EUNREACH);
	box->receipts_wanted = 2;
	assert_int_equal(job_backup(box, NULL), TK_OK);
	assert_true(box->result.sites[2].has_receipt);
	assert_int_equal(points_at(box, 2), 6);
	assert_int_equal(box->result.epoch_won, 0);
	atomic_store(&box->sites[0].plan.open_rc, TK_OK);
	box->receipts_wanted = 3;
	job_backup_ok(box);
	/* And with all of them there, the sites are told that the new one stands for the old. */
	assert_true(box->result.sites_changed);
	assert_int_equal(box->result.epoch_won, 4);
	points = job_points(box, 2, &count);
	assert_int_equal(count, 7);
	assert_memory_equal(&points[0].at, &oldest, sizeof(oldest));
	free(points);
	job_check_point(box, &oldest, listing, 3);
	job_backup_ok(box);
	assert_int_equal(box->result.point.epoch, 4);
	assert_false(box->result.sites_changed);
	free(listing);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(its_writer_notices_a_vault_that_was_set_back, three_sites, job_teardown),
		cmocka_unit_test_setup_teardown(a_writer_that_knows_nothing_notices_it_through_the_other_sites, three_sites, job_teardown),
		cmocka_unit_test_setup_teardown(a_forgotten_vote_is_noticed_through_the_other_sites, three_sites, job_teardown),
		cmocka_unit_test_setup_teardown(a_receipt_of_a_site_that_was_set_back_since_does_not_count, three_sites, job_teardown),
		cmocka_unit_test_setup_teardown(a_vote_of_a_site_that_was_set_back_since_does_not_count, three_sites, job_teardown),
		cmocka_unit_test_setup_teardown(a_site_that_was_set_back_is_given_what_it_lacks_and_then_let_in, three_sites, job_teardown),
		cmocka_unit_test_setup_teardown(the_only_site_that_was_set_back_is_forced_in_and_the_next_run_stores_what_is_lost_anew, one_site, job_teardown),
		cmocka_unit_test_setup_teardown(a_site_that_was_made_anew_is_given_the_points_of_older_epochs, three_sites, job_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
