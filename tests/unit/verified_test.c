/* What the history of verifications says of points and sites. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "engine/catalog/verified.h"

static struct tk_head
head(uint64_t sequence)
{
	return (struct tk_head){.epoch = 1, .sequence = sequence, .point = {{(uint8_t)sequence}}};
}

/* The time tells the rows apart. */
static struct tk_run_row
run(const char *site, enum tk_run_covers covers, uint64_t sequence, enum tk_run_depth depth, int exit_status, int64_t end_ns)
{
	struct tk_run_row row = {.at = head(sequence), .covers = covers, .depth = depth, .exit_status = exit_status, .end_ns = end_ns};

	(void)snprintf(row.site, sizeof(row.site), "%s", site);
	return row;
}

static void
expect_point(const struct tk_run_row *rows, size_t count, const char *site, uint64_t sequence, int64_t whole_ns, int64_t damage_ns)
{
	struct tk_head at = head(sequence);
	struct tk_verified found = tk_verified_point(rows, count, site, &at);

	assert_int_equal(found.whole ? found.whole->end_ns : 0, whole_ns);
	assert_int_equal(found.damage ? found.damage->end_ns : 0, damage_ns);
}

static void
expect_site(const struct tk_run_row *rows, size_t count, const char *site, int64_t whole_ns, int64_t damage_ns)
{
	struct tk_verified found = tk_verified_site(rows, count, site);

	assert_int_equal(found.whole ? found.whole->end_ns : 0, whole_ns);
	assert_int_equal(found.damage ? found.damage->end_ns : 0, damage_ns);
}

static void
a_verification_tells_of_the_points_it_covered_at_its_site(void **state)
{
	const struct tk_run_row rows[] = {run("a", TK_COVERS_POINT, 1, TK_DEPTH_STRUCTURE, 0, 20), run("a", TK_COVERS_UP_TO, 2, TK_DEPTH_DATA, 0, 10)};

	(void)state;
	expect_point(rows, 2, "a", 1, 20, 0);
	expect_point(rows, 2, "a", 2, 10, 0);
	expect_point(rows, 2, "a", 3, 0, 0);
	expect_point(rows, 2, "b", 1, 0, 0);
	expect_site(rows, 2, "a", 10, 0);
	expect_site(rows, 1, "a", 0, 0);
}

static void
damage_puts_all_that_was_covered_in_doubt(void **state)
{
	const struct tk_run_row rows[] = {run("a", TK_COVERS_UP_TO, 3, TK_DEPTH_STRUCTURE, 5, 20), run("a", TK_COVERS_UP_TO, 4, TK_DEPTH_STRUCTURE, 0, 10)};

	(void)state;
	expect_point(rows, 2, "a", 3, 0, 20);
	expect_point(rows, 2, "a", 4, 10, 0);
	expect_site(rows, 2, "a", 0, 20);
}

static void
only_a_verification_as_close_finds_damage_mended(void **state)
{
	const struct tk_run_row rows[] = {run("a", TK_COVERS_UP_TO, 3, TK_DEPTH_DATA, 0, 40), run("a", TK_COVERS_UP_TO, 3, TK_DEPTH_SAMPLE, 0, 30),
					  run("a", TK_COVERS_UP_TO, 3, TK_DEPTH_STRUCTURE, 0, 20), run("a", TK_COVERS_UP_TO, 2, TK_DEPTH_SAMPLE, 5, 10)};

	(void)state;
	expect_point(rows + 1, 3, "a", 2, 0, 10);
	expect_site(rows + 1, 3, "a", 0, 10);
	expect_point(rows, 4, "a", 2, 40, 0);
	expect_site(rows, 4, "a", 40, 0);
}

static void
one_point_found_whole_clears_itself_and_not_the_site(void **state)
{
	const struct tk_run_row rows[] = {run("a", TK_COVERS_POINT, 2, TK_DEPTH_DATA, 0, 20), run("a", TK_COVERS_UP_TO, 3, TK_DEPTH_DATA, 5, 10)};

	(void)state;
	expect_point(rows, 2, "a", 2, 20, 0);
	expect_point(rows, 2, "a", 3, 0, 10);
	expect_site(rows, 2, "a", 0, 10);
}

static void
another_site_mends_nothing(void **state)
{
	const struct tk_run_row rows[] = {run("b", TK_COVERS_UP_TO, 3, TK_DEPTH_DATA, 0, 20), run("a", TK_COVERS_POINT, 3, TK_DEPTH_STRUCTURE, 5, 10)};

	(void)state;
	expect_point(rows, 2, "a", 3, 0, 10);
	expect_site(rows, 2, "a", 0, 10);
	expect_site(rows, 2, "b", 20, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_verification_tells_of_the_points_it_covered_at_its_site),
		cmocka_unit_test(damage_puts_all_that_was_covered_in_doubt),
		cmocka_unit_test(only_a_verification_as_close_finds_damage_mended),
		cmocka_unit_test(one_point_found_whole_clears_itself_and_not_the_site),
		cmocka_unit_test(another_site_mends_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
