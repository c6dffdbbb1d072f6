/* Today's dump has a new name, and costs what changed since yesterday's. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/job_fixture.h"
#include "tests/unit/tree_kit.h"

/* dump SEED DAY: 1000 rows, of which one in 50 changed on each of DAY days. */
#define DUMP "dump() { awk -v seed=$1 -v days=$2 'BEGIN { for (i = 0; i < 1000; i++) { v = seed; for (d = 1; d <= days; d++) if ((i * 7919 + d * 131) % 50 == 0) v = v \".\" d; " \
	"printf \"INSERT INTO t VALUES (%d,%d,%s,%d);\\n\", i, (i * 7919 + seed) % 10007, v, (i * 104729 + seed) % 1000003 } }'; }; "
#define DUMP_BYTES_MIN 35000u
/* 20 rows have two bytes more in one place: by blocks of 64 each costs one or two; byte by byte little but where a segment or a block in doubt begins. */
#define BY_BLOCKS (20u * 3 * 64)
#define TO_THE_BYTE (20u * 12)

static void
a_dump_beside_yesterdays_costs_its_changes(void **state)
{
	struct job_box *box = *state;

	job_shell(box, DUMP "dump 1 0 >\"$1/dump-20.sql\"");
	job_backup_exactly(box);
	assert_true(box->result.literal_bytes > DUMP_BYTES_MIN);
	job_shell(box, DUMP "dump 1 1 >\"$1/dump-21.sql\"");
	job_backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 40, TO_THE_BYTE);
	job_shell(box, DUMP "dump 1 2 >\"$1/dump-22.sql\"");
	job_backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 40, TO_THE_BYTE);
	/* In a new directory, too. */
	job_shell(box, DUMP "mkdir \"$1/24\" \"$1/25\"; dump 1 3 >\"$1/24/dump.sql\"");
	job_backup_exactly(box);
	job_shell(box, DUMP "mkdir \"$1/25/deep\"; dump 1 4 >\"$1/25/dump.sql\"; rm \"$1/dump-21.sql\"");
	job_backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 40, TO_THE_BYTE);
}

static void
a_dump_in_the_place_of_yesterdays_costs_its_changes(void **state)
{
	struct job_box *box = *state;

	job_shell(box, DUMP "dump 1 0 >\"$1/monday.sql\"");
	job_backup_exactly(box);
	job_shell(box, DUMP "rm \"$1/monday.sql\"; dump 1 1 >\"$1/tuesday.sql\"");
	job_backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 40, BY_BLOCKS);
	job_shell(box, DUMP "rm \"$1/tuesday.sql\"; dump 1 2 >\"$1/wednesday.sql\"");
	job_backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 40, BY_BLOCKS);
}

static void
a_dump_that_takes_the_name_of_the_rotated_one_costs_its_changes(void **state)
{
	struct job_box *box = *state;

	job_shell(box, DUMP "dump 1 0 >\"$1/dump.sql\"");
	job_backup_exactly(box);
	for (int day = 1; day < 4; day++) {
		/* As logrotate does it, whatever else is there. */
		job_shell(box, "cd \"$1\"; touch a b c; for i in 2 1; do if [ -f dump.sql.$i ]; then mv dump.sql.$i dump.sql.$((i+1)); fi; done; mv dump.sql dump.sql.1");
		job_shell(box, DUMP "if [ -f \"$1/dump.sql.3\" ]; then dump 1 3; elif [ -f \"$1/dump.sql.2\" ]; then dump 1 2; else dump 1 1; fi >\"$1/dump.sql\"");
		job_backup_exactly(box);
		assert_in_range(box->result.literal_bytes, 40, TO_THE_BYTE);
	}
	/* Deleted, not rotated: the blocks still tell. */
	job_shell(box, DUMP "rm \"$1/dump.sql\"; dump 1 4 >\"$1/dump.sql.new\"; mv \"$1/dump.sql.new\" \"$1/dump.sql\"");
	job_backup_exactly(box);
	assert_in_range(box->result.literal_bytes, TO_THE_BYTE, BY_BLOCKS);
}

/* Yesterday's dump became something else before today's was looked at: what is believed of it must be what the point has. */
static void
yesterdays_dump_changed(struct job_box *box, const char *change)
{
	char command[400];

	job_shell(box, DUMP "dump 1 0 >\"$1/dump-20.sql\"; touch -d '2026-01-02 03:04:05.678' \"$1/dump-20.sql\"");
	job_backup_exactly(box);
	job_shell(box, DUMP "dump 1 1 >\"$1/dump-21.sql\"");
	(void)snprintf(command, sizeof(command), "old=\"$1/dump-20.sql\"; new=\"$1/dump-21.sql\"; %s", change);
	job_shell(box, command);
	job_backup_exactly(box);
	assert_true(box->result.copied_bytes > 0);
}

static void
an_old_dump_that_was_altered_and_its_times_set_back_is_not_believed(void **state)
{
	struct job_box *box = *state;

	/* The old bytes are made to look like the new ones: a copy of them would bring back what they were. */
	yesterdays_dump_changed(box, "head -c $(stat -c %s \"$old\") \"$new\" >\"$4/x\"; cat \"$4/x\" >\"$old\"; touch -d '2026-01-02 03:04:05.678' \"$old\"");
	/* It is read again, since its ctime is new. */
	assert_in_range(box->result.literal_bytes, 40, 2 * BY_BLOCKS);
}

static void
an_old_dump_that_shrank_or_went_or_became_something_else_is_no_help(void **state)
{
	static const char *const changes[] = {
		"truncate -s 20000 \"$old\"", "rm \"$old\"", "rm \"$old\"; mkdir \"$old\"", "rm \"$old\"; mkfifo \"$old\"", "rm \"$old\"; ln -s dump-21.sql \"$old\"",
		"rm \"$old\"; head -c 40000 /dev/urandom >\"$old\"", "chmod 0 \"$old\"",
	};
	struct job_box *box = *state;

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		yesterdays_dump_changed(box, changes[i]);
		job_shell(box, "rm -r \"$1\"/*");
		job_backup_exactly(box);
	}
}

static void
a_copy_under_a_new_name_costs_nothing(void **state)
{
	struct job_box *box = *state;

	job_shell(box, DUMP "dump 1 0 >\"$1/dump-20.sql\"");
	job_backup_exactly(box);
	job_shell(box, "cp \"$1/dump-20.sql\" \"$1/dump-21.sql\"");
	job_backup_exactly(box);
	assert_true(box->result.read_bytes > DUMP_BYTES_MIN);
	assert_int_equal(box->result.literal_bytes, 0);
}

/* Every day leaves more pieces of it: one day it is stored as if it were new, and costs little again. */
static void
a_segment_of_too_many_pieces_is_stored_anew(void **state)
{
	struct job_box *box = *state;
	unsigned anew = 0;

	box->opts.segment_bytes = 65536;
	box->opts.extents_max = 120;
	for (unsigned day = 0; day < 9; day++) {
		char command[40];

		(void)snprintf(command, sizeof(command), "echo %u >\"$4/day\"", day);
		job_shell(box, command);
		job_shell(box, DUMP "day=$(cat \"$4/day\"); dump 1 $day >\"$1/dump-2$day.sql\"; if [ $day -gt 2 ]; then rm \"$1/dump-2$((day-2)).sql\"; fi");
		job_backup_exactly(box);
		if (day == 0)
			continue;
		if (box->result.literal_bytes > DUMP_BYTES_MIN)
			anew++;
		else
			assert_in_range(box->result.literal_bytes, 40, TO_THE_BYTE);
	}
	assert_in_range(anew, 1, 4);
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
	job_backup_exactly(box);
	job_shell(box, "head -c 100000 /dev/urandom >\"$1/dump-21.sql\"");
	job_backup_exactly(box);
	assert_int_equal(box->result.read_bytes, 100000);
	assert_int_equal(box->result.literal_bytes, 100000);
	/* Chunks of any file are found all the same. */
	job_shell(box, "cp \"$1/another\" \"$1/dump-22.sql\"");
	job_backup_exactly(box);
	assert_int_equal(box->result.read_bytes, 100000);
	/* But for what two threads compared in vain, and the chunk at the end of each segment. */
	assert_in_range(box->result.literal_bytes, 0, 2 * box->opts.segment_bytes + 7 * 8192);
}

static void
a_guess_of_which_nothing_is_known_is_no_past(void **state)
{
	struct job_box *box = *state;

	job_shell(box, DUMP "dump 1 0 >\"$1/dump-20.sql\"");
	job_backup_exactly(box);
	job_shell(box, DUMP "rm -r \"$3/facts\"; dump 1 1 >\"$1/dump-21.sql\"");
	job_backup_exactly(box);
	assert_int_equal(box->result.copied_bytes, 0);
	assert_true(box->result.read_bytes < 2 * DUMP_BYTES_MIN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_dump_beside_yesterdays_costs_its_changes, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_dump_in_the_place_of_yesterdays_costs_its_changes, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_dump_that_takes_the_name_of_the_rotated_one_costs_its_changes, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(an_old_dump_that_was_altered_and_its_times_set_back_is_not_believed, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(an_old_dump_that_shrank_or_went_or_became_something_else_is_no_help, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_copy_under_a_new_name_costs_nothing, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_segment_of_too_many_pieces_is_stored_anew, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_wrong_guess_is_given_up_and_stores_what_no_guess_would, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_guess_of_which_nothing_is_known_is_no_past, job_setup, job_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
