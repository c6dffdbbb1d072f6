/* A clock that is set, far back and far ahead, between runs: no point is lost, order is by epoch and sequence, and cost follows the change again. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/job_fixture.h"
#include "tests/unit/tree_kit.h"

#define YEAR_S "31536000"
#define POINTS 7

static void
set_clock(const char *off_s)
{
	assert_int_equal(setenv("TK_CLOCK_OFF_S", off_s, 1), 0);
}

static int
clock_setup(void **state)
{
	set_clock("0");
	return job_setup(state);
}

static void
points_stay_in_order_whatever_the_clock_says(void **state)
{
	static const char *const clocks[POINTS] = {"0", "-" YEAR_S, "-" YEAR_S, YEAR_S, "0", "-3600", "0"};
	struct job_box *box = *state;
	struct dice dice = {1};
	struct tk_head made[POINTS];
	char *listings[POINTS];
	struct tk_store_point *points;
	size_t count = 0;

	tree_fill(box->tree, &dice);
	for (size_t i = 0; i < POINTS; i++) {
		set_clock(clocks[i]);
		/* Now and then with all that the home remembers lost. */
		if (i == 2 || i == 5)
			job_shell(box, "rm -rf \"$2\"");
		tree_edit(box->tree, &dice, 8);
		listings[i] = tree_list(box->tree, 1);
		job_backup_ok(box);
		made[i] = box->result.point;
	}
	points = job_points(box, 0, &count);
	assert_int_equal(count, POINTS);
	for (size_t i = 0; i < POINTS; i++) {
		assert_memory_equal(&points[i].at, &made[i], sizeof(made[i]));
		job_check_point(box, &made[i], listings[i], 0);
		free(listings[i]);
	}
	free(points);
}

static void
after_a_jump_files_are_read_once_and_then_believed_again(void **state)
{
	static const char *const clocks[] = {("-" YEAR_S), YEAR_S, "0"};
	struct job_box *box = *state;
	struct dice dice = {2};

	tree_fill(box->tree, &dice);
	box->opts.reread_period_s = 30 * 86400;
	job_settle();
	job_backup_ok(box);
	for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
		set_clock(clocks[i]);
		job_backup_ok(box);
		assert_true(box->result.literal_bytes == 0);
		assert_int_equal(box->result.scan.files_changed + box->result.scan.files_new, 0);
		job_backup_ok(box);
		assert_true(box->result.read_bytes == 0);
	}
}

static void
a_change_under_a_clock_that_was_set_back_is_found(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {3};
	char *listing;

	tree_fill(box->tree, &dice);
	job_backup_ok(box);
	set_clock("-" YEAR_S);
	job_backup_ok(box);
	for (int i = 0; i < 5; i++) {
		tree_edit(box->tree, &dice, 8);
		listing = tree_list(box->tree, 1);
		job_backup_ok(box);
		job_check_point(box, &box->result.point, listing, 0);
		free(listing);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(points_stay_in_order_whatever_the_clock_says, clock_setup, job_teardown),
		cmocka_unit_test_setup_teardown(after_a_jump_files_are_read_once_and_then_believed_again, clock_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_change_under_a_clock_that_was_set_back_is_found, clock_setup, job_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
