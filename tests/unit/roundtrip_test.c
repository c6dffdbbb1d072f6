/* What was backed up comes back: whole, a part of it, as a tar stream; and again it costs nothing. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/job_fixture.h"
#include "tests/unit/tree_kit.h"

static void
restore_check(struct job_box *box, const struct job_restore *how, const char *listing, const char *where)
{
	struct tk_restore_result result;
	struct tk_err err;
	char *found;

	if (job_restore(box, &box->result.point, how, &result, &err))
		fail_msg("restore: %s", err.text);
	assert_true(result.verified);
	found = tree_list(where, 0);
	assert_same_tree(listing, found, where);
	free(found);
}

static void
a_path_comes_back_alone(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {7};
	char target[128], where[256], path[256], *listing;
	struct job_restore how = {.target = target, .path = path, .whole_path = true};

	tree_fill(box->tree, &dice);
	job_backup_ok(box);
	(void)scratch_path(box->scratch, "one", target, sizeof(target));
	(void)snprintf(path, sizeof(path), "%s/d2", box->tree);
	(void)snprintf(where, sizeof(where), "%s%s/d2", target, box->tree);
	listing = tree_list(path, 0);
	restore_check(box, &how, listing, where);
	free(listing);
	(void)snprintf(where, sizeof(where), "%s%s/d1", target, box->tree);
	assert_int_not_equal(access(where, F_OK), 0);
}

static void
a_whole_point_comes_back_at_its_full_path(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {8};
	char target[128], where[256], *listing;
	struct job_restore how = {.target = target, .whole_path = true, .delete_extra = true};

	tree_fill(box->tree, &dice);
	job_backup_ok(box);
	(void)scratch_path(box->scratch, "full", target, sizeof(target));
	(void)snprintf(where, sizeof(where), "%s%s", target, box->tree);
	listing = tree_list(box->tree, 0);
	restore_check(box, &how, listing, where);
	restore_check(box, &how, listing, where);
	free(listing);
}

static void
a_tar_of_a_point_unpacks_to_the_same_tree(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {9};
	char target[128], command[512], *listing, *found;
	struct job_restore how = {.tar_fd = 0};
	struct tk_restore_result result;
	struct tk_err err;
	FILE *pipe;

	tree_fill(box->tree, &dice);
	job_backup_ok(box);
	listing = tree_list(box->tree, 0);
	(void)scratch_path(box->scratch, "untar", target, sizeof(target));
	assert_int_equal(mkdir(target, 0755), 0);
	(void)snprintf(command, sizeof(command), "bsdtar -xpf - -C '%s'", target);
	pipe = popen(command, "w");
	assert_non_null(pipe);
	how.tar_fd = fileno(pipe);
	if (job_restore(box, &box->result.point, &how, &result, &err))
		fail_msg("tar: %s", err.text);
	assert_int_equal(pclose(pipe), 0);
	assert_true(result.verified);
	found = tree_list(target, 0);
	assert_same_tree(listing, found, "unpacked");
	free(listing);
	free(found);
}

static void
an_unchanged_tree_costs_nearly_nothing(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {10};

	job_shell(box, "i=0; while [ $i -lt 600 ]; do echo $i >\"$1/f$i\"; i=$((i+1)); done");
	tree_fill(box->tree, &dice);
	job_backup_ok(box);
	job_settle();
	/* The second run looks again at what was too near to the first one's start; from the third on all is settled. */
	for (int i = 0; i < 3; i++) {
		job_backup_ok(box);
		assert_int_equal(box->result.scan.files_changed + box->result.scan.files_new, 0);
		assert_true(box->result.literal_bytes == 0);
		assert_true(box->result.stored_bytes < 1500);
		if (i > 0)
			assert_true(box->result.read_bytes == 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_path_comes_back_alone, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_whole_point_comes_back_at_its_full_path, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_tar_of_a_point_unpacks_to_the_same_tree, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(an_unchanged_tree_costs_nearly_nothing, job_setup, job_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
