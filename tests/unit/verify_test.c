/* Is what a site holds whole? By a reader that does not wait for one answer after the other. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/job/verify.h"
#include "tests/unit/job_fixture.h"
#include "tests/unit/tree_kit.h"

static void
verify(struct job_box *box, double data_percent, struct tk_verify_result *result)
{
	struct tk_verify_opts opts = {.site = &box->handles[0], .domain = &box->domain, .keys = tk_keyring_domain(&box->ring, &box->domain),
		.data_percent = data_percent, .threads = 2};
	struct tk_err err;

	if (tk_verify_site(&opts, result, &err))
		fail_msg("verify: %s", err.text);
}

static void
pages_are_read_ahead(void **state)
{
	struct job_box *box = *state;
	struct fault_plan *plan = &box->sites[0].plan;
	struct tk_verify_result result;

	job_shell(box, "i=0; while [ $i -lt 2000 ]; do echo $i >\"$1/f$i\"; i=$((i+1)); done");
	job_backup_ok(box);
	atomic_store(&plan->get_delay_ms, 3);
	atomic_store(&plan->most_getting, 0);
	verify(box, 0, &result);
	assert_true(atomic_load(&plan->most_getting) > 1);
	assert_int_equal(result.points_checked, 1);
	assert_true(result.blobs_checked > 10);
	assert_int_equal(result.damaged_total, 0);
	assert_true(result.checked_bytes == 0);
	tk_verify_result_release(&result);
}

static void
data_is_read_by_several_threads(void **state)
{
	struct job_box *box = *state;
	struct fault_plan *plan = &box->sites[0].plan;
	struct dice dice = {11};
	struct tk_verify_result result;
	uint64_t blobs; /* of pages: the file is below a segment, so that nothing is read ahead */
	char path[128];

	for (int i = 0; i < 6; i++) {
		tree_write(scratch_path(box->scratch, "tree/new", path, sizeof(path)), &dice, 12000);
		job_backup_ok(box);
	}
	verify(box, 0, &result);
	blobs = result.blobs_checked;
	tk_verify_result_release(&result);
	atomic_store(&plan->get_delay_ms, 3);
	atomic_store(&plan->most_getting, 0);
	verify(box, 100, &result);
	assert_true(atomic_load(&plan->most_getting) > 1);
	assert_true(result.blobs_checked >= blobs + 6);
	assert_true(result.checked_bytes > 0);
	assert_int_equal(result.damaged_total, 0);
	tk_verify_result_release(&result);
}

static void
a_site_that_garbles_has_nothing_whole(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {12};
	struct tk_verify_result result;

	tree_fill(box->tree, &dice);
	job_backup_ok(box);
	atomic_store(&box->sites[0].plan.flip, true);
	verify(box, 100, &result);
	assert_true(result.damaged_total > 0);
	assert_true(result.newest.epoch == 0);
	tk_verify_result_release(&result);
	atomic_store(&box->sites[0].plan.flip, false);
	verify(box, 100, &result);
	assert_int_equal(result.damaged_total, 0);
	assert_true(tk_head_compare(&result.newest, &box->result.point) == 0);
	tk_verify_result_release(&result);
}

#define VERIFY_TEST(name) cmocka_unit_test_setup_teardown(name, job_setup, job_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		VERIFY_TEST(pages_are_read_ahead),
		VERIFY_TEST(data_is_read_by_several_threads),
		VERIFY_TEST(a_site_that_garbles_has_nothing_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
