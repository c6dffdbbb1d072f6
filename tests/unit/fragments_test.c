/* Which blobs a segment leaves, and when. */
#include "tests/unit/unit.h"

#include "engine/job/fragments.h"

#define KIB(n) ((n) << 10)
#define MIB(n) ((n) << 20)
#define ROWS_MAX 80

/* A segment of pack 1, and what lies elsewhere of it. */
struct segment {
	struct tk_extent rows[ROWS_MAX];
	size_t count;
	struct tk_fragments_budget budget;
	struct tk_fragments found;
};

static int
segment_setup(void **state)
{
	static struct segment segment;

	segment = (struct segment){0};
	atomic_init(&segment.budget.left_bytes, MIB(100));
	*state = &segment;
	return 0;
}

static int
segment_teardown(void **state)
{
	struct segment *segment = *state;

	tk_fragments_release(&segment->found);
	return 0;
}

static void
add(struct segment *segment, uint32_t pack, uint32_t blob, uint32_t offset_bytes, uint32_t length_bytes)
{
	assert_true(segment->count < ROWS_MAX);
	segment->rows[segment->count++] = (struct tk_extent){{pack, blob}, offset_bytes, length_bytes};
}

/* Packs with that much of the segment each, from pack `first` on. */
static void
add_crumbs(struct segment *segment, uint32_t first, uint32_t count, uint32_t length_bytes)
{
	for (uint32_t i = 0; i < count; i++)
		add(segment, first + i, 3, 0, length_bytes);
}

static void
add_whole_blobs(struct segment *segment, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		add(segment, 1, i, 0, MIB(1));
}

static void
choose(struct segment *segment)
{
	assert_int_equal(tk_fragments_choose(segment->rows, segment->count, &segment->budget, &segment->found, NULL), TK_OK);
}

static bool
leaves(const struct segment *segment, uint32_t pack, uint32_t blob)
{
	return tk_refset_has(&segment->found.blobs, (struct tk_blob_ref){pack, blob});
}

static void
so_many_crumbs_stay_and_one_more_leaves_half_of_them(void **state)
{
	struct segment *segment = *state;

	add_whole_blobs(segment, 1);
	add_crumbs(segment, 10, TK_FRAGMENTS_CRUMBS_MIN, KIB(4));
	choose(segment);
	assert_int_equal(segment->found.blobs.count, 0);
	add_crumbs(segment, 40, 1, KIB(4));
	choose(segment);
	assert_int_equal(segment->found.blobs.count, TK_FRAGMENTS_CRUMBS_MIN / 2 + 1);
	assert_int_equal(segment->found.live_bytes, (TK_FRAGMENTS_CRUMBS_MIN / 2 + 1) * KIB(4));
	assert_false(leaves(segment, 1, 0));
}

static void
a_longer_segment_may_have_more_crumbs(void **state)
{
	struct segment *segment = *state;

	add_whole_blobs(segment, 4);
	add_crumbs(segment, 10, 16, KIB(4));
	choose(segment);
	assert_int_equal(segment->found.blobs.count, 0);
	add_crumbs(segment, 40, 1, KIB(4));
	choose(segment);
	assert_int_equal(segment->found.blobs.count, 9);
}

static void
the_smallest_crumbs_are_left_first(void **state)
{
	struct segment *segment = *state;

	add_crumbs(segment, 10, 6, KIB(8));
	add_crumbs(segment, 20, 3, KIB(4));
	add_whole_blobs(segment, 1);
	choose(segment);
	for (uint32_t pack = 20; pack < 23; pack++)
		assert_true(leaves(segment, pack, 3));
	assert_int_equal(segment->found.blobs.count, 5);
}

static void
a_pack_with_more_than_a_crumb_is_none(void **state)
{
	struct segment *segment = *state;

	add_crumbs(segment, 10, 9, TK_FRAGMENTS_CRUMB_BYTES + 1);
	choose(segment);
	assert_int_equal(segment->found.blobs.count, 0);
	segment->count = 0;
	add_crumbs(segment, 10, 9, TK_FRAGMENTS_CRUMB_BYTES);
	choose(segment);
	assert_int_equal(segment->found.blobs.count, 5);
}

/* Blobs of one pack count together, wherever in the segment they are used. */
static void
a_crumb_of_several_blobs_is_left_as_a_whole(void **state)
{
	struct segment *segment = *state;

	add(segment, 9, 1, 0, KIB(1));
	add_crumbs(segment, 10, 8, KIB(8));
	add(segment, 9, 2, 0, KIB(1));
	add_whole_blobs(segment, 1);
	add(segment, 9, 1, KIB(5), KIB(1));
	choose(segment);
	assert_true(leaves(segment, 9, 1) && leaves(segment, 9, 2));
	assert_int_equal(segment->found.live_bytes, KIB(3) + 4 * KIB(8));
}

static void
four_times_its_length_may_be_read_and_not_a_byte_more(void **state)
{
	struct segment *segment = *state;

	/* 256 KiB at the end of each of eight blobs: no crumbs, and read whole. */
	for (uint32_t blob = 0; blob < 8; blob++)
		add(segment, 7, blob, KIB(768), KIB(256));
	choose(segment);
	assert_int_equal(segment->found.blobs.count, 0);
	segment->rows[3].length_bytes--;
	segment->rows[3].offset_bytes++;
	choose(segment);
	/* The one with the smallest share first, until no more than twice the length is read. */
	assert_true(leaves(segment, 7, 3));
	assert_int_equal(segment->found.blobs.count, 6);
}

static void
a_segment_shorter_than_a_blob_counts_as_one(void **state)
{
	struct segment *segment = *state;

	for (uint32_t blob = 0; blob < 4; blob++)
		add(segment, 7, blob, KIB(1023), KIB(1));
	choose(segment);
	assert_int_equal(segment->found.blobs.count, 0);
	add(segment, 7, 4, KIB(2), KIB(1));
	choose(segment);
	assert_int_equal(segment->found.blobs.count, 3);
	assert_false(leaves(segment, 7, 4));
}

static void
holes_are_read_from_nowhere_and_count_as_length(void **state)
{
	struct segment *segment = *state;

	for (uint32_t blob = 0; blob < 8; blob++)
		add(segment, 7, blob, KIB(1023), KIB(1));
	choose(segment);
	assert_int_equal(segment->found.blobs.count, 7);
	segment->rows[segment->count++] = (struct tk_extent){{TK_PACK_NONE, 0}, 0, MIB(2)};
	choose(segment);
	assert_int_equal(segment->found.blobs.count, 0);
}

static void
what_is_chosen_is_taken_from_the_budget_and_bounded_by_it(void **state)
{
	struct segment *segment = *state;

	add_whole_blobs(segment, 1);
	add_crumbs(segment, 10, 20, KIB(4));
	atomic_store(&segment->budget.left_bytes, 2 * KIB(4) + 100);
	choose(segment);
	assert_int_equal(segment->found.blobs.count, 2);
	assert_int_equal(atomic_load(&segment->budget.left_bytes), 100);
	choose(segment);
	assert_int_equal(segment->found.blobs.count, 0);
	assert_int_equal(segment->found.live_bytes, 0);
}

static void
without_a_budget_nothing_is_left(void **state)
{
	struct segment *segment = *state;

	add_crumbs(segment, 10, 40, KIB(1));
	for (uint32_t blob = 0; blob < 4; blob++)
		add(segment, 7, blob, MIB(1) - 1, 1);
	atomic_store(&segment->budget.left_bytes, 0);
	choose(segment);
	assert_int_equal(segment->found.blobs.count, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(so_many_crumbs_stay_and_one_more_leaves_half_of_them, segment_setup, segment_teardown),
		cmocka_unit_test_setup_teardown(a_longer_segment_may_have_more_crumbs, segment_setup, segment_teardown),
		cmocka_unit_test_setup_teardown(the_smallest_crumbs_are_left_first, segment_setup, segment_teardown),
		cmocka_unit_test_setup_teardown(a_pack_with_more_than_a_crumb_is_none, segment_setup, segment_teardown),
		cmocka_unit_test_setup_teardown(a_crumb_of_several_blobs_is_left_as_a_whole, segment_setup, segment_teardown),
		cmocka_unit_test_setup_teardown(four_times_its_length_may_be_read_and_not_a_byte_more, segment_setup, segment_teardown),
		cmocka_unit_test_setup_teardown(a_segment_shorter_than_a_blob_counts_as_one, segment_setup, segment_teardown),
		cmocka_unit_test_setup_teardown(holes_are_read_from_nowhere_and_count_as_length, segment_setup, segment_teardown),
		cmocka_unit_test_setup_teardown(what_is_chosen_is_taken_from_the_budget_and_bounded_by_it, segment_setup, segment_teardown),
		cmocka_unit_test_setup_teardown(without_a_budget_nothing_is_left, segment_setup, segment_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
