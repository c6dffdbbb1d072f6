/* A gap is made of old bytes as far as they are in it, to the byte. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/delta/refine.h"
#include "tests/unit/dice.h"

#define OLD_OFF 1000003u

struct box {
	struct tk_refine refine;
	struct tk_delta_ops ops;
};

static void
box_release(struct box *box)
{
	tk_refine_release(&box->refine);
	tk_delta_ops_release(&box->ops);
}

/* Runs, and checks that the operations make the new bytes out of copies of old ones and of their own. */
static void
run(struct box *box, const void *old, size_t old_bytes, const void *fresh, size_t fresh_bytes, bool begins, bool ends)
{
	struct tk_refine_gap gap = {old, old_bytes, OLD_OFF, fresh, fresh_bytes, begins, ends};
	size_t at = 0;

	box->ops.count = 0;
	box->ops.copy_bytes = box->ops.literal_bytes = 0;
	assert_int_equal(tk_refine_run(&box->refine, &gap, &box->ops, NULL), TK_OK);
	for (size_t i = 0; i < box->ops.count; i++) {
		const struct tk_delta_op *op = &box->ops.rows[i];

		assert_in_range(op->len_bytes, 1, fresh_bytes - at);
		if (op->kind == TK_DELTA_COPY) {
			assert_in_range(op->old_off_bytes, OLD_OFF, OLD_OFF + old_bytes - op->len_bytes);
			assert_memory_equal((const char *)old + (op->old_off_bytes - OLD_OFF), (const char *)fresh + at, op->len_bytes);
		}
		at += op->len_bytes;
	}
	assert_int_equal(at, fresh_bytes);
}

static void
nothing_is_made_of_nothing(void **state)
{
	TK_AUTO(box_release) struct box box = {0};

	(void)state;
	run(&box, "", 0, "", 0, true, true);
	assert_int_equal(box.ops.count, 0);
	run(&box, "old", 3, "", 0, true, true);
	assert_int_equal(box.ops.count, 0);
	run(&box, "", 0, "new", 3, true, true);
	assert_int_equal(box.ops.literal_bytes, 3);
}

static void
copies_around_go_as_far_as_bytes_agree(void **state)
{
	TK_AUTO(box_release) struct box box = {0};

	(void)state;
	run(&box, "abcXdef", 7, "abcYYdef", 8, true, true);
	assert_int_equal(box.ops.count, 3);
	assert_int_equal(box.ops.literal_bytes, 2);
	run(&box, "abcXdef", 7, "abcYYdef", 8, true, false);
	assert_int_equal(box.ops.literal_bytes, 5);
	run(&box, "abcXdef", 7, "abcYYdef", 8, false, true);
	assert_int_equal(box.ops.literal_bytes, 5);
	run(&box, "abcXdef", 7, "abcYYdef", 8, false, false);
	assert_int_equal(box.ops.literal_bytes, 8);
	/* What went away, and what was put in twice: no byte is used from both ends. */
	run(&box, "abcab", 5, "ab", 2, true, true);
	assert_int_equal(box.ops.literal_bytes, 0);
	run(&box, "ab", 2, "abab", 4, true, true);
	assert_int_equal(box.ops.literal_bytes, 2);
	run(&box, "same", 4, "same", 4, true, true);
	assert_int_equal(box.ops.count, 1);
}

/* So many random bytes. */
static void
fill(uint8_t *data, size_t len, struct dice *dice)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)dice_below(dice, 256);
}

static void
what_lies_between_changes_is_found_to_the_byte(void **state)
{
	TK_AUTO(box_release) struct box box = {0};
	uint8_t old[1200], fresh[1200];
	struct dice dice = {3};

	(void)state;
	/* X, a middle of some length, Y; other ends around the same middle, at any distance from the stride. */
	for (size_t len = 1; len < 120; len++) {
		for (size_t shift = 0; shift < 18; shift++) {
			fill(old, sizeof(old), &dice);
			fill(fresh, sizeof(fresh), &dice);
			memcpy(fresh + 300 + shift, old + 301, len);
			fresh[299 + shift] = (uint8_t)(old[300] + 1);
			fresh[300 + shift + len] = (uint8_t)(old[301 + len] + 1);
			run(&box, old, sizeof(old), fresh, sizeof(fresh), false, false);
			if (len >= 47)
				assert_int_equal(box.ops.copy_bytes, len);
			else
				assert_true(box.ops.copy_bytes == len || box.ops.copy_bytes == 0);
			assert_true(box.ops.copy_bytes == 0 || len >= 32);
		}
	}
}

static void
many_short_pieces_are_left_alone(void **state)
{
	TK_AUTO(box_release) struct box box = {0};
	uint8_t old[64 * 50], fresh[64 * 50];
	struct dice dice = {4};

	(void)state;
	fill(old, sizeof(old), &dice);
	memcpy(fresh, old, sizeof(old));
	for (size_t at = 30; at < sizeof(fresh); at += 64)
		fresh[at]++;
	run(&box, old, sizeof(old), fresh, sizeof(fresh), true, true);
	assert_int_equal(box.ops.count, 3);
	assert_int_equal(box.ops.copy_bytes, 30 + 33);
	/* Fewer of them are worth it. */
	memcpy(fresh, old, sizeof(old));
	for (size_t at = 30; at < sizeof(fresh); at += 320)
		fresh[at]++;
	run(&box, old, sizeof(old), fresh, sizeof(fresh), true, true);
	assert_int_equal(box.ops.literal_bytes, 10);
}

static void
any_edits_are_reproduced_exactly(void **state)
{
	TK_AUTO(box_release) struct box box = {0};
	uint8_t old[3000], fresh[6000];
	struct dice dice = {5};

	(void)state;
	for (int round = 0; round < 3000; round++) {
		size_t old_bytes = dice_below(&dice, sizeof(old)), fresh_bytes = 0;

		/* Few different bytes, or many. */
		for (size_t i = 0; i < old_bytes; i++)
			old[i] = (uint8_t)dice_below(&dice, round % 3 ? 256 : 3);
		while (fresh_bytes < dice_below(&dice, 3000)) {
			size_t from = dice_below(&dice, old_bytes + 1), len = dice_below(&dice, old_bytes - from + 1);

			if (dice_below(&dice, 2))
				memcpy(fresh + fresh_bytes, old + from, len);
			else
				fill(fresh + fresh_bytes, len = dice_below(&dice, 80), &dice);
			fresh_bytes += len;
		}
		run(&box, old, old_bytes, fresh, fresh_bytes, dice_below(&dice, 2), dice_below(&dice, 2));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_made_of_nothing),
		cmocka_unit_test(copies_around_go_as_far_as_bytes_agree),
		cmocka_unit_test(what_lies_between_changes_is_found_to_the_byte),
		cmocka_unit_test(many_short_pieces_are_left_alone),
		cmocka_unit_test(any_edits_are_reproduced_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
