/* Today's dump has a new name, and costs what changed since yesterday's. */
#include "tests/unit/unit.h"

#include <stdlib.h>

#include "tests/unit/job_fixture.h"
#include "tests/unit/tree_kit.h"

/* dump SEED DAY: 1000 rows, of which one in 50 changed on each of DAY days. */
#define DUMP "dump() { awk -v seed=$1 -v days=$2 'BEGIN { for (i = 0; i < 1000; i++) { v = seed; for (d = 1; d <= days; d++) if ((i * 7919 + d * 131) % 50 == 0) v = v \".\" d; " \
	"printf \"INSERT INTO t VALUES (%d,%d,%s,%d);\\n\", i, (i * 7919 + seed) % 10007, v, (i * 104729 + seed) % 1000003 } }'; }; "
#define DUMP_BYTES_MIN 35000u

/* What was backed up is what is there now. */
static void
backup_exactly(struct job_box *box)
{
	char *listing;

	job_settle();
	job_backup_ok(box);
	listing = tree_list(box->tree, 1);
	job_check_point(box, &box->result.point, listing, 0);
	free(listing);
}

static void
a_dump_beside_yesterdays_costs_its_changes(void **state)
{
	struct job_box *box = *state;

	job_shell(box, DUMP "dump 1 0 >\"$1/dump-20.sql\"");
	backup_exactly(box);
	assert_true(box->result.literal_bytes > DUMP_BYTES_MIN);
	job_shell(box, DUMP "dump 1 1 >\"$1/dump-21.sql\"");
	backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 40, 20 * 3 * 64);
	job_shell(box, DUMP "dump 1 2 >\"$1/dump-22.sql\"");
	backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 40, 20 * 3 * 64);
}

static void
a_dump_in_the_place_of_yesterdays_costs_its_changes(void **state)
{
	struct job_box *box = *state;

	job_shell(box, DUMP "dump 1 0 >\"$1/monday.sql\"");
	backup_exactly(box);
	job_shell(box, DUMP "rm \"$1/monday.sql\"; dump 1 1 >\"$1/tuesday.sql\"");
	backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 40, 20 * 3 * 64);
	job_shell(box, DUMP "rm \"$1/tuesday.sql\"; dump 1 2 >\"$1/wednesday.sql\"");
	backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 40, 20 * 3 * 64);
}

static void
a_copy_under_a_new_name_costs_nothing(void **state)
{
	struct job_box *box = *state;

	job_shell(box, DUMP "dump 1 0 >\"$1/dump-20.sql\"");
	backup_exactly(box);
	job_shell(box, "cp \"$1/dump-20.sql\" \"$1/dump-21.sql\"");
	backup_exactly(box);
	assert_true(box->result.read_bytes > DUMP_BYTES_MIN);
	assert_int_equal(box->result.literal_bytes, 0);
}

static void
a_wrong_guess_is_given_up_and_stores_what_no_guess_would(void **state)
{
	struct job_box *box = *state;

	/* Long enough to be indexed. */
	box->opts.chunk_min_bytes = 2048;
	box->opts.chunk_avg_bytes = 4096;
	box->opts.chunk_max_bytes = 8192;
	job_shell(box, "head -c 100000 /dev/urandom >\"$1/dump-20.sql\"; head -c 100000 /dev/urandom >\"$1/another\"");
	backup_exactly(box);
	job_shell(box, "head -c 100000 /dev/urandom >\"$1/dump-21.sql\"");
	backup_exactly(box);
	assert_int_equal(box->result.read_bytes, 100000);
	assert_int_equal(box->result.literal_bytes, 100000);
	/* Chunks of any file are found all the same. */
	job_shell(box, "cp \"$1/another\" \"$1/dump-22.sql\"");
	backup_exactly(box);
	assert_int_equal(box->result.read_bytes, 100000);
	/* But for what was compared in vain. */
	assert_in_range(box->result.literal_bytes, 0, 2 * box->opts.segment_bytes + 5000);
}

static void
a_guess_of_which_nothing_is_known_is_no_past(void **state)
{
	struct job_box *box = *state;

	job_shell(box, DUMP "dump 1 0 >\"$1/dump-20.sql\"");
	backup_exactly(box);
	job_shell(box, DUMP "rm -r \"$3/facts\"; dump 1 1 >\"$1/dump-21.sql\"");
	backup_exactly(box);
	assert_int_equal(box->result.copied_bytes, 0);
	assert_true(box->result.read_bytes < 2 * DUMP_BYTES_MIN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_dump_beside_yesterdays_costs_its_changes, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_dump_in_the_place_of_yesterdays_costs_its_changes, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_copy_under_a_new_name_costs_nothing, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_wrong_guess_is_given_up_and_stores_what_no_guess_would, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_guess_of_which_nothing_is_known_is_no_past, job_setup, job_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
