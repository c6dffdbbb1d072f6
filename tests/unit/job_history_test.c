/* A home that was set back writes a second history: whoever opens an epoch on the sites' heads must see that they are not one line. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/job_fixture.h"
#include "tests/unit/tree_kit.h"

static int
three_sites(void **state)
{
	struct dice dice = {21};
	struct job_box *box;

	if (job_setup(state))
		return -1;
	box = *state;
	job_add_sites(box, 3);
	box->receipts_wanted = 1;
	tree_fill(box->tree, &dice);
	job_backup_ok(box);
	return 0;
}

/* A run that reaches the sites for which `sites` has its bit. */
static enum tk_rc
run(struct job_box *box, unsigned sites, struct tk_err *err)
{
	struct dice dice = {sites};
	enum tk_rc rc;

	for (size_t i = 0; i < 3; i++)
		atomic_store(&box->sites[i].plan.open_rc, sites >> i & 1 ? TK_OK : TK_EUNREACH);
	tree_edit(box->tree, &dice, 3);
	rc = job_backup(box, err);
	job_close(box);
	return rc;
}

static void
run_ok(struct job_box *box, unsigned sites)
{
	struct tk_err err;

	if (run(box, sites, &err))
		fail_msg("run over %u: %s", sites, err.text);
}

static void
keep_home(struct job_box *box, const char *name)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf \"$4/%s\"; cp -a \"$2\" \"$4/%s\"", name, name);
	job_shell(box, command);
}

static void
set_home_back(struct job_box *box, const char *name)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf \"$2\"; cp -a \"$4/%s\" \"$2\"", name);
	job_shell(box, command);
}

/* A point as if it had never come to the site. */
static void
forget_point(struct job_box *box, size_t site, unsigned sequence)
{
	char command[256];

	(void)snprintf(command, sizeof(command), "cd \"$4/s%zu\"; rm domains/*/points/00000001-%016x-* domains/*/receipts/00000001-%016x-* index.db*", site,
		       sequence, sequence);
	job_shell(box, command);
}

static void
expect(struct job_box *box, unsigned sites, enum tk_rc want, const char *text)
{
	struct tk_err err;

	if (run(box, sites, &err) != want || !strstr(err.text, text))
		fail_msg("%d: %s", err.rc, err.text);
	assert_int_equal(box->result.point.epoch, 0);
}

static void
heads_of_one_line_open_an_epoch_however_far_apart(void **state)
{
	struct job_box *box = *state;

	run_ok(box, 3);
	run_ok(box, 2);
	run_ok(box, 2);
	job_shell(box, "rm -r \"$2\"");
	run_ok(box, 3);
	assert_int_equal(box->result.epoch_won, 2);
	assert_int_equal(box->result.point.sequence, 5);
}

static void
two_points_of_one_place_are_two_histories(void **state)
{
	struct job_box *box = *state;

	keep_home(box, "old");
	run_ok(box, 1);
	set_home_back(box, "old");
	run_ok(box, 2);
	job_shell(box, "rm -r \"$2\"");
	expect(box, 3, TK_EHISTORY, "two histories are open: point 2 of epoch 1 at site s");
}

static void
a_shorter_history_is_seen_below_the_longer_one(void **state)
{
	struct job_box *box = *state;

	keep_home(box, "old");
	run_ok(box, 1);
	set_home_back(box, "old");
	for (int i = 0; i < 3; i++)
		run_ok(box, 6);
	job_shell(box, "rm -r \"$2\"");
	expect(box, 3, TK_EHISTORY, "point 2 of epoch 1 at site s0 is no ancestor of point 4");
}

/* Only by the parents that the records name: no voter lists another point 2. */
static void
a_history_whose_rival_point_no_voter_lists_is_not_taken_for_an_ancestor(void **state)
{
	struct job_box *box = *state;

	keep_home(box, "old");
	run_ok(box, 1);
	set_home_back(box, "old");
	run_ok(box, 6);
	run_ok(box, 6);
	forget_point(box, 2, 2);
	job_shell(box, "rm -r \"$2\"");
	expect(box, 5, TK_EHISTORY, "it cannot be told whether point 2 of epoch 1 at site s0 is an ancestor of point 3");
	/* The site that has the point between tells. */
	expect(box, 7, TK_EHISTORY, "point 2 of epoch 1 at site s0 is no ancestor of point 3");
}

static void
a_gap_that_another_voter_fills_is_none(void **state)
{
	struct job_box *box = *state;

	run_ok(box, 7);
	run_ok(box, 6);
	run_ok(box, 6);
	forget_point(box, 2, 3);
	job_shell(box, "rm -r \"$2\"");
	run_ok(box, 7);
	assert_int_equal(box->result.epoch_won, 2);
}

static void
a_point_that_no_voter_has_whole_any_more_is_not_passed_over(void **state)
{
	struct job_box *box = *state;

	run_ok(box, 1);
	/* The pack that it brought is the newest one. */
	job_shell(box, "rm \"$(ls -t \"$4\"/s0/packs/*/* | head -1)\" \"$4\"/s0/index.db*; rm -r \"$2\"");
	expect(box, 3, TK_EMISSING, "site s0 acknowledged point 2 of epoch 1 and does not have it whole any more");
}

/* Set back, and then to the newer state again. */
static void
a_site_that_holds_an_older_point_of_another_life_stops_the_home(void **state)
{
	struct job_box *box = *state;

	keep_home(box, "old");
	run_ok(box, 1);
	run_ok(box, 1);
	keep_home(box, "new");
	set_home_back(box, "old");
	run_ok(box, 2);
	set_home_back(box, "new");
	expect(box, 3, TK_EFENCED, "the site holds another point 2 than this home wrote");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(heads_of_one_line_open_an_epoch_however_far_apart, three_sites, job_teardown),
		cmocka_unit_test_setup_teardown(two_points_of_one_place_are_two_histories, three_sites, job_teardown),
		cmocka_unit_test_setup_teardown(a_shorter_history_is_seen_below_the_longer_one, three_sites, job_teardown),
		cmocka_unit_test_setup_teardown(a_history_whose_rival_point_no_voter_lists_is_not_taken_for_an_ancestor, three_sites, job_teardown),
		cmocka_unit_test_setup_teardown(a_gap_that_another_voter_fills_is_none, three_sites, job_teardown),
		cmocka_unit_test_setup_teardown(a_point_that_no_voter_has_whole_any_more_is_not_passed_over, three_sites, job_teardown),
		cmocka_unit_test_setup_teardown(a_site_that_holds_an_older_point_of_another_life_stops_the_home, three_sites, job_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
