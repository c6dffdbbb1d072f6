/* A change of a large file costs what changed, from the first one on. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/job_fixture.h"
#include "tests/unit/tree_kit.h"

#define LARGE (3u << 20)

/* As an operator has them who configured nothing. */
static void
default_sizes(struct job_box *box)
{
	box->opts.segment_bytes = box->opts.pack_plain_bytes = 0;
	box->opts.chunk_min_bytes = box->opts.chunk_avg_bytes = box->opts.chunk_max_bytes = 0;
	box->opts.delta_min_bytes = box->opts.block_bytes = 0;
}

static void
write_at(const struct job_box *box, const char *name, size_t at, const void *data, size_t len)
{
	char path[160];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", box->tree, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, len, (off_t)at), (ssize_t)len);
	close(fd);
}

static void
make_large(struct job_box *box)
{
	default_sizes(box);
	job_shell(box, "head -c 3145728 /dev/urandom >\"$1/large\"");
	job_backup_exactly(box);
}

static void
the_first_edit_of_a_file_costs_the_blocks_it_touched(void **state)
{
	struct job_box *box = *state;

	make_large(box);
	write_at(box, "large", 1000000, "abcdef", 6);
	job_backup_exactly(box);
	assert_true(box->result.read_bytes == LARGE);
	assert_in_range(box->result.literal_bytes, 6, 4096);
	assert_in_range(box->result.stored_bytes, 6, 8192);
}

static void
the_first_insertion_into_a_file_costs_little_more_than_itself(void **state)
{
	struct job_box *box = *state;

	make_large(box);
	job_shell(box, "{ head -c 1000000 \"$1/large\"; echo inserted; tail -c +1000001 \"$1/large\"; } >\"$4/new\"; cat \"$4/new\" >\"$1/large\"");
	job_backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 9, 8192);
	assert_in_range(box->result.stored_bytes, 9, 16384);
}

static void
growing_and_shrinking_cost_what_was_added(void **state)
{
	struct job_box *box = *state;

	make_large(box);
	job_shell(box, "echo appended >>\"$1/large\"");
	job_backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 9, 4096);
	job_shell(box, "truncate -s 2000001 \"$1/large\"");
	job_backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 0, 4096);
}

static void
what_is_read_again_and_did_not_change_is_read_once_and_keeps_its_map(void **state)
{
	struct job_box *box = *state;

	make_large(box);
	for (int i = 0; i < 2; i++) {
		job_shell(box, "touch \"$1/large\"");
		job_backup_exactly(box);
		assert_true(box->result.read_bytes == LARGE);
		assert_true(box->result.literal_bytes == 0);
		assert_in_range(box->result.stored_bytes, 1, 2500);
	}
}

static void
without_the_key_the_next_change_is_cut_into_chunks_once(void **state)
{
	struct job_box *box = *state;

	make_large(box);
	job_shell(box, "rm \"$3/tagkey\"");
	write_at(box, "large", 1000000, "abcdef", 6);
	job_backup_exactly(box);
	assert_true(box->result.read_bytes == LARGE);
	assert_in_range(box->result.literal_bytes, 30000, 1100000);
	write_at(box, "large", 2000000, "abcdef", 6);
	job_backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 6, 4096);
}

static void
without_facts_what_did_not_change_is_still_not_stored_again(void **state)
{
	struct job_box *box = *state;

	make_large(box);
	/* Over a delta, whose pieces are no chunks that could be found again. */
	write_at(box, "large", 1000000, "abcdef", 6);
	job_backup_exactly(box);
	job_shell(box, "rm -r \"$3/facts\"; touch \"$1/large\"");
	job_backup_exactly(box);
	assert_true(box->result.read_bytes == LARGE);
	assert_true(box->result.literal_bytes == 0);
	/* And what was read made them anew. */
	write_at(box, "large", 2000000, "abcdef", 6);
	job_backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 6, 4096);
}

/* A file that looks like a database of 4 KiB pages would get such blocks, if it were new. */
static void
blocks_keep_their_length_unless_the_policy_says_another(void **state)
{
	static const uint8_t sqlite[18] = "SQLite format 3\0\x10";
	struct job_box *box = *state;

	make_large(box);
	write_at(box, "large", 0, sqlite, sizeof(sqlite));
	job_backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 6, 4096);
	write_at(box, "large", 1000000, "abcdef", 6);
	box->opts.block_bytes = 1024;
	job_backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 30000, 1100000);
	write_at(box, "large", 2000000, "abcdef", 6);
	job_backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 6, 2048);
}

/* Of the version before the last one, too: nothing piles up. */
static void
only_what_is_known_of_the_last_version_is_kept(void **state)
{
	struct job_box *box = *state;

	job_shell(box, "head -c 100000 /dev/urandom >\"$1/large\"");
	for (size_t i = 0; i < 4; i++) {
		job_backup_exactly(box);
		job_shell(box, "test $(find \"$3/facts\" -type f | wc -l) = 7");
		for (size_t at = 10; at < 100000; at += 10000)
			write_at(box, "large", at + i, "abcdef", 6);
	}
}

static void
a_file_of_holes_is_not_read_where_it_is_one(void **state)
{
	struct job_box *box = *state;

	job_shell(box, "truncate -s 500000 \"$1/large\"");
	write_at(box, "large", 100000, "in the middle", 13);
	job_backup_exactly(box);
	write_at(box, "large", 300000, "in a hole", 9);
	job_backup_exactly(box);
	assert_in_range(box->result.read_bytes, 13, 20000);
	assert_in_range(box->result.literal_bytes, 9, 4096);
	/* Data becomes a hole. */
	job_shell(box, "fallocate -p -o 98304 -l 16384 \"$1/large\"");
	job_backup_exactly(box);
	assert_true(box->result.literal_bytes == 0);
}

/* Blocks whose rolling sums all agree, and whose bytes do not: +1, -2, +1 changes neither the sum nor the weighted sum. */
static void
fill_with_equal_sums(uint8_t *data, size_t len, size_t block)
{
	struct dice dice = {5};

	for (size_t at = 0; at < len; at++)
		data[at] = (uint8_t)(100 + at % block % 7);
	for (size_t at = 0; at + 3 <= len; at += at % block + 6 > block ? block - at % block : 3) {
		uint8_t by = (uint8_t)dice_below(&dice, 40);

		data[at] = (uint8_t)(data[at] + by);
		data[at + 1] = (uint8_t)(data[at + 1] - 2 * by);
		data[at + 2] = (uint8_t)(data[at + 2] + by);
	}
}

static uint64_t
copied_of_what_moved(struct job_box *box, enum tk_signature_kind signature)
{
	static uint8_t data[64 * 150];

	fill_with_equal_sums(data, sizeof(data), 64);
	box->opts.signature = signature;
	write_at(box, "large", 0, data, sizeof(data));
	job_backup_exactly(box);
	/* The first block, the only one that an index over such sums knows, is gone. */
	write_at(box, "large", 0, "moved!", 6);
	write_at(box, "large", 6, data + 64, sizeof(data) - 64);
	job_backup_exactly(box);
	return box->result.copied_bytes;
}

static void
rolling_signatures_find_what_tags_do_not(void **state)
{
	struct job_box *box = *state;

	assert_in_range(copied_of_what_moved(box, TK_SIGNATURE_TAGS), 0, 200);
	job_shell(box, "rm \"$1/large\"");
	job_backup_exactly(box);
	assert_in_range(copied_of_what_moved(box, TK_SIGNATURE_ROLLING), 9000, 9600);
}

/* Holes are all alike, and are not looked at one by one: what is remembered of the segment before must not be taken for theirs. */
static void
a_hole_has_the_signature_of_a_hole(void **state)
{
	static uint8_t data[64 * 150];
	struct job_box *box = *state;

	box->opts.signature = TK_SIGNATURE_ROLLING;
	box->opts.threads = 1;
	fill_with_equal_sums(data, sizeof(data), 64);
	job_shell(box, "truncate -s 50000 \"$1/holes\"; truncate -s 50000 \"$1/large\"");
	write_at(box, "large", 0, data, sizeof(data));
	job_backup_exactly(box);
	write_at(box, "large", 20000, data + 64, sizeof(data) - 64);
	write_at(box, "large", 20000 + sizeof(data) - 64, "not followed by zeros, as before", 32);
	job_backup_exactly(box);
}

/* What is remembered of a file that is one segment has the file's name; of one of several, each segment's. */
static void
a_file_that_grows_by_a_segment_is_remembered(void **state)
{
	struct job_box *box = *state;

	box->opts.segment_bytes = 65536;
	job_shell(box, "head -c 65536 /dev/urandom >\"$1/large\"");
	job_backup_exactly(box);
	/* Into so many pieces that it gets a map. */
	for (size_t at = 0; at < 65536; at += 128)
		write_at(box, "large", at, "!", 1);
	job_backup_exactly(box);
	job_shell(box, "head -c 5000 /dev/urandom >>\"$1/large\"");
	job_backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 5000, 5064);
	write_at(box, "large", 8000, "abcdef", 6);
	job_backup_exactly(box);
	assert_in_range(box->result.literal_bytes, 6, 128);
}

/* Random bytes over a page of 4 KiB. */
static void
change_page(const struct job_box *box, struct dice *dice, size_t page)
{
	uint8_t data[4096];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)dice_below(dice, 256);
	write_at(box, "large", page * sizeof(data), data, sizeof(data));
}

#define EDIT_ROUNDS 26u

/* Pages that change in every round and one that never does again: each round's blob stays for that one. Every version comes back when it is made, and at the end. *rewritten_bytes: in all rounds. What the
 * last restore fetched is returned. */
static uint64_t
edit_again_and_again(struct job_box *box, unsigned rewrite_percent, uint64_t *rewritten_bytes)
{
	struct tk_head points[EDIT_ROUNDS];
	char *listings[EDIT_ROUNDS];
	struct dice dice = {7};

	make_large(box);
	box->opts.rewrite_percent = rewrite_percent;
	*rewritten_bytes = 0;
	for (size_t round = 0; round < EDIT_ROUNDS; round++) {
		for (size_t hot = 0; hot < 15; hot++)
			change_page(box, &dice, 10 * hot);
		change_page(box, &dice, 200 + 7 * round);
		job_backup_exactly(box);
		*rewritten_bytes += box->result.rewritten_bytes;
		/* What was stored anew is told apart from what is new. */
		assert_true(box->result.literal_bytes == 16 * 4096);
		points[round] = box->result.point;
		listings[round] = tree_list(box->tree, 1);
	}
	for (size_t round = 0; round < EDIT_ROUNDS; round++) {
		job_check_point(box, &points[round], listings[round], 0);
		free(listings[round]);
	}
	return box->fetched_bytes;
}

static void
without_a_budget_a_file_in_pieces_is_read_from_ever_more_blobs(void **state)
{
	uint64_t rewritten_bytes;

	assert_true(edit_again_and_again(*state, 0, &rewritten_bytes) > LARGE + EDIT_ROUNDS * 60000u);
	assert_true(rewritten_bytes == 0);
}

/* Twelve crumbs for three megabytes, and what was stored anew is not stored anew again. */
static void
a_file_in_pieces_is_put_together_again(void **state)
{
	uint64_t rewritten_bytes;

	assert_true(edit_again_and_again(*state, 2, &rewritten_bytes) < LARGE + 14 * 66000u);
	assert_in_range(rewritten_bytes, 14 * 4096, EDIT_ROUNDS * 3 * 4096);
}

/* A file that was read again without a change is put together, too, once. */
static void
what_did_not_change_is_put_together_when_it_is_read(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {8};

	make_large(box);
	box->opts.rewrite_percent = 0;
	for (size_t round = 0; round < 13; round++) {
		change_page(box, &dice, 11 * round);
		job_backup_exactly(box);
	}
	box->opts.rewrite_percent = 2;
	for (size_t round = 0; round < 2; round++) {
		job_shell(box, "touch \"$1/large\"");
		job_backup_exactly(box);
		assert_true(box->result.literal_bytes == 0);
		assert_true(box->result.rewritten_bytes == (round ? 0 : 7 * 4096));
	}
}

static void
with_never_nothing_is_kept(void **state)
{
	struct job_box *box = *state;

	box->opts.signature = TK_SIGNATURE_NEVER;
	job_shell(box, "head -c 100000 /dev/urandom >\"$1/large\"");
	job_backup_exactly(box);
	write_at(box, "large", 50000, "abcdef", 6);
	job_backup_exactly(box);
	assert_true(box->result.copied_bytes == 0);
	job_shell(box, "test $(find \"$3/facts\" \"$3/sig\" -type f | wc -l) = 0");
}

/* A file of three full segments and a bit, of which the policy says that it only grows. */
#define SEGMENT (1u << 20)
#define LEAF (64u << 10)

static void
make_log(struct job_box *box)
{
	default_sizes(box);
	box->opts.segment_bytes = SEGMENT;
	box->opts.append_only = true;
	job_shell(box, "head -c 3200000 /dev/urandom >\"$1/log\"");
	job_backup_exactly(box);
}

static void
a_file_that_only_grows_is_read_at_its_end(void **state)
{
	struct job_box *box = *state;

	make_log(box);
	for (unsigned i = 0; i < 3; i++) {
		job_shell(box, "head -c 5000 /dev/urandom >>\"$1/log\"");
		job_backup_exactly(box);
		assert_true(box->result.read_bytes <= 3 * LEAF + (3200000 + 5000 * (i + 1) - 3 * SEGMENT));
		assert_in_range(box->result.literal_bytes, 5000, 5000 + 8192);
		assert_int_equal(box->notes[TK_NOTE_NOT_GROWN], 0);
	}
	/* So much that it has more segments. */
	job_shell(box, "head -c 3000000 /dev/urandom >>\"$1/log\"");
	job_backup_exactly(box);
	assert_true(box->result.read_bytes <= 3 * LEAF + (6215000 - 3 * SEGMENT));
	job_shell(box, "echo end >>\"$1/log\"");
	job_backup_exactly(box);
	assert_true(box->result.read_bytes <= 5 * LEAF + (6215004 - 5 * SEGMENT));
}

static void
one_that_changed_elsewhere_is_read_as_a_whole_and_named(void **state)
{
	struct job_box *box = *state;

	make_log(box);
	/* The second segment: the first may have been carried over when that shows. */
	job_shell(box, "head -c 1048576 /dev/urandom | dd of=\"$1/log\" bs=1048576 seek=1 conv=notrunc status=none; echo end >>\"$1/log\"");
	job_backup_exactly(box);
	assert_int_equal(box->notes[TK_NOTE_NOT_GROWN], 1);
	assert_true(box->result.read_bytes >= 3200004);
	assert_true(box->result.read_bytes <= 3200004 + 3 * LEAF);
}

static void
one_that_is_another_file_or_shorter_is_like_any_other(void **state)
{
	struct job_box *box = *state;

	make_log(box);
	job_shell(box, "{ head -c 500 /dev/urandom; cat \"$1/log\"; } >\"$4/new\"; mv \"$4/new\" \"$1/log\"");
	job_backup_exactly(box);
	assert_true(box->result.read_bytes == 3200500);
	job_shell(box, "truncate -s 3100000 \"$1/log\"");
	job_backup_exactly(box);
	assert_true(box->result.read_bytes == 3100000);
	assert_int_equal(box->notes[TK_NOTE_NOT_GROWN], 0);
}

static void
a_change_that_the_sample_misses_is_found_when_the_turn_comes(void **state)
{
	struct job_box *box = *state;

	make_log(box);
	box->opts.reread_period_s = 1;
	job_shell(box, "sleep 1.1");
	write_at(box, "log", 100000, "x", 1);
	job_shell(box, "echo end >>\"$1/log\"");
	job_backup_exactly(box);
	assert_true(box->result.read_bytes == 3200004);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_first_edit_of_a_file_costs_the_blocks_it_touched, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(the_first_insertion_into_a_file_costs_little_more_than_itself, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(growing_and_shrinking_cost_what_was_added, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(what_is_read_again_and_did_not_change_is_read_once_and_keeps_its_map, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(without_the_key_the_next_change_is_cut_into_chunks_once, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(without_facts_what_did_not_change_is_still_not_stored_again, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(blocks_keep_their_length_unless_the_policy_says_another, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(only_what_is_known_of_the_last_version_is_kept, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_file_of_holes_is_not_read_where_it_is_one, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(rolling_signatures_find_what_tags_do_not, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_hole_has_the_signature_of_a_hole, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_file_that_grows_by_a_segment_is_remembered, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(without_a_budget_a_file_in_pieces_is_read_from_ever_more_blobs, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_file_in_pieces_is_put_together_again, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(what_did_not_change_is_put_together_when_it_is_read, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(with_never_nothing_is_kept, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_change_that_the_sample_misses_is_found_when_the_turn_comes, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(one_that_is_another_file_or_shorter_is_like_any_other, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(one_that_changed_elsewhere_is_read_as_a_whole_and_named, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_file_that_only_grows_is_read_at_its_end, job_setup, job_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
