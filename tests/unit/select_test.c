/* Choosing a point: latest, an id prefix, a time. */
#include "tests/unit/unit.h"

#include <string.h>

#include "engine/base/clock.h"
#include "policies/select.h"

#define HOUR_NS (3600 * INT64_C(1000000000))

/* Out of order on purpose; the third has the later clock but the older epoch. */
static void
points_make(struct tk_candidate points[3])
{
	int64_t t;

	assert_int_equal(tk_time_parse("2026-11-24T03:00:00Z", &t, NULL), TK_OK);
	memset(points, 0, 3 * sizeof(points[0]));
	points[0] = (struct tk_candidate){.epoch = 2, .sequence = 1, .scan_end_ns = t};
	points[1] = (struct tk_candidate){.epoch = 2, .sequence = 2, .scan_end_ns = t + HOUR_NS};
	points[2] = (struct tk_candidate){.epoch = 1, .sequence = 9, .scan_end_ns = t + 2 * HOUR_NS};
	memcpy(points[0].id, "\xab\xcd\x01", 3);
	memcpy(points[1].id, "\xab\xcd\x02", 3);
	memcpy(points[2].id, "\x20\x26\x11", 3);
}

static void
latest_is_by_epoch_and_sequence_not_by_clock(void **state)
{
	struct tk_candidate points[3];
	size_t index = 99;

	(void)state;
	points_make(points);
	assert_int_equal(tk_point_select("latest", points, 3, &index, NULL), TK_OK);
	assert_int_equal(index, 1);
	assert_int_equal(tk_point_select(NULL, points, 3, &index, NULL), TK_OK);
	assert_int_equal(index, 1);
	assert_int_equal(tk_point_select("latest", points, 0, &index, NULL), TK_ENOENT);
}

static void
an_id_prefix_must_be_of_one_point(void **state)
{
	struct tk_candidate points[3];
	struct tk_err err;
	size_t index = 99;

	(void)state;
	points_make(points);
	assert_int_equal(tk_point_select("ABCD02", points, 3, &index, NULL), TK_OK);
	assert_int_equal(index, 1);
	assert_int_equal(tk_point_select("2026", points, 3, &index, NULL), TK_OK);
	assert_int_equal(index, 2);
	assert_int_equal(tk_point_select("abcd0", points, 3, &index, &err), TK_EINVAL);
	assert_string_equal(err.text, "more than one point begins with abcd0; give more digits");
	assert_int_equal(tk_point_select("ffff", points, 3, &index, NULL), TK_ENOENT);
	assert_int_equal(tk_point_select("abc", points, 3, &index, NULL), TK_EINVAL);
	points[1] = points[0];
	assert_int_equal(tk_point_select("abcd", points, 3, &index, NULL), TK_OK);
}

static void
a_time_chooses_the_last_point_that_was_complete_by_then(void **state)
{
	struct tk_candidate points[3];
	size_t index = 99;

	(void)state;
	points_make(points);
	assert_int_equal(tk_point_select("2026-11-24T03:59:59Z", points, 3, &index, NULL), TK_OK);
	assert_int_equal(index, 0);
	assert_int_equal(tk_point_select("2026-11-24T12:00:00+08:00", points, 3, &index, NULL), TK_OK);
	assert_int_equal(index, 1);
	assert_int_equal(tk_point_select("2026-11-24T02:59:59Z", points, 3, &index, NULL), TK_ENOENT);
	assert_int_equal(tk_point_select("yesterday", points, 3, &index, NULL), TK_EINVAL);
}

static void
a_time_chooses_nothing_where_the_clock_was_set_back(void **state)
{
	struct tk_candidate points[3];
	struct tk_err err;
	size_t index = 99;

	(void)state;
	points_make(points);
	/* 03:00, 05:00, and then 04:00 again: what was there at half past four may be the first or the last. */
	points[1].scan_end_ns += HOUR_NS;
	points[2] = (struct tk_candidate){.id = {0x20, 0x26, 0x11}, .epoch = 2, .sequence = 3, .scan_end_ns = points[0].scan_end_ns + HOUR_NS};
	assert_int_equal(tk_point_select("2026-11-24T04:30:00Z", points, 3, &index, &err), TK_EINVAL);
	assert_string_equal(err.text, "a clock was set back: point 20261100 follows abcd0200 and has an earlier time; see twinkeep list, and name the point by its id");
	/* Before and after that there is no doubt. */
	assert_int_equal(tk_point_select("2026-11-24T03:30:00Z", points, 3, &index, NULL), TK_OK);
	assert_int_equal(index, 0);
	assert_int_equal(tk_point_select("2026-11-24T06:00:00Z", points, 3, &index, NULL), TK_OK);
	assert_int_equal(index, 2);
	assert_int_equal(tk_point_select("latest", points, 3, &index, NULL), TK_OK);
	assert_int_equal(index, 2);
}

static void
a_dataset_and_its_point_are_split_at_the_at(void **state)
{
	char name[8];
	const char *point;

	(void)state;
	assert_int_equal(tk_point_spec_split("data@abcd", name, sizeof(name), &point, NULL), TK_OK);
	assert_string_equal(name, "data");
	assert_string_equal(point, "abcd");
	assert_int_equal(tk_point_spec_split("data", name, sizeof(name), &point, NULL), TK_OK);
	assert_null(point);
	assert_int_equal(tk_point_spec_split("data@", name, sizeof(name), &point, NULL), TK_EINVAL);
	assert_int_equal(tk_point_spec_split("@abcd", name, sizeof(name), &point, NULL), TK_EINVAL);
	assert_int_equal(tk_point_spec_split("datadata", name, sizeof(name), &point, NULL), TK_EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(latest_is_by_epoch_and_sequence_not_by_clock),
		cmocka_unit_test(an_id_prefix_must_be_of_one_point),
		cmocka_unit_test(a_time_chooses_the_last_point_that_was_complete_by_then),
		cmocka_unit_test(a_time_chooses_nothing_where_the_clock_was_set_back),
		cmocka_unit_test(a_dataset_and_its_point_are_split_at_the_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
