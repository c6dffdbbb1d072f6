/* The file of the point before that a new one continues is found by name, age and size. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/job/forerunner.h"
#include "tests/unit/job_fixture.h"

static void
names_are_alike_in_what_they_begin_and_end_with(void **state)
{
	(void)state;
	assert_int_equal(tk_name_likeness("", 0, "", 0, false), 0);
	assert_int_equal(tk_name_likeness("", 0, "a", 1, false), 0);
	assert_int_equal(tk_name_likeness("a", 1, "a", 1, false), 1);
	assert_int_equal(tk_name_likeness("aa", 2, "aaa", 3, false), 2);
	assert_int_equal(tk_name_likeness("db-23.sql", 9, "db-24.sql", 9, false), 8);
	assert_int_equal(tk_name_likeness("db-23.sql", 9, "db-24.sql", 9, true), 9);
	assert_int_equal(tk_name_likeness("monday.sql", 10, "tuesday.sql", 11, true), 7);
	assert_int_equal(tk_name_likeness("ab", 2, "ba", 2, true), 0);
}

/* Asks of the box's last point. path and expected: below the tree; NULL: nothing is to be found. */
static void
expect(struct job_box *box, const char *path, uint64_t size_bytes, const char *expected)
{
	TK_AUTO(tk_packtab_cleanup) struct tk_packtab *packs = NULL;
	TK_AUTO(tk_catalog_cleanup) struct tk_catalog *catalog = NULL;
	TK_AUTO(tk_forerunners_cleanup) struct tk_forerunners *forerunners = NULL;
	struct tk_known known;
	char full[200];

	assert_int_equal(tk_packtab_new(&packs, NULL), TK_OK);
	assert_int_equal(tk_catalog_open(box->state, &box->domain, TK_SUITE_AES, packs, &catalog, NULL), TK_OK);
	assert_int_equal(tk_forerunners_new(catalog, packs, &forerunners, NULL), TK_OK);
	(void)snprintf(full, sizeof(full), "%s/%s", box->tree + 1, path);
	/* A second question is answered as the first. */
	for (int i = 0; i < 2; i++)
		assert_int_equal(tk_forerunners_find(forerunners, full, strlen(full), size_bytes, &known, NULL), TK_OK);
	if (!expected) {
		if (known.entry)
			fail_msg("%s was found for %s", known.entry->path, path);
		return;
	}
	(void)snprintf(full, sizeof(full), "%s/%s", box->tree + 1, expected);
	assert_non_null(known.entry);
	assert_string_equal(known.entry->path, full);
	assert_int_not_equal(known.side->ino, 0);
}

/* put DAY NAME BYTES: a file that was written on that day of November. */
#define PUT "put() { mkdir -p \"$(dirname \"$1/$3\")\"; head -c $4 /dev/zero >\"$1/$3\"; touch -d \"2026-11-$2 02:00\" \"$1/$3\"; }; "

static void
the_newest_dump_of_the_same_name_but_for_its_date_is_found(void **state)
{
	struct job_box *box = *state;

	job_shell(box, PUT "for day in 27 28 29 30; do put \"$1\" $day dumps/a-2026-11-$day.sql 3000; put \"$1\" $day dumps/b-2026-11-$day.sql 3000; done");
	job_backup_ok(box);
	expect(box, "dumps/a-2026-12-01.sql", 3100, "dumps/a-2026-11-30.sql");
	expect(box, "dumps/b-2026-12-01.sql", 3100, "dumps/b-2026-11-30.sql");
	expect(box, "dumps/b-2027-01-01.sql", 3100, "dumps/b-2026-11-30.sql");
	expect(box, "dumps/c.tar", 3000, NULL);
	expect(box, "other/a-2026-12-01.sql", 3000, NULL);
	expect(box, "a-2026-12-01.sql", 3000, NULL);
}

static void
the_size_must_be_about_the_same(void **state)
{
	struct job_box *box = *state;

	job_shell(box, PUT "put \"$1\" 20 monday.sql 4000");
	job_backup_ok(box);
	expect(box, "tuesday.sql", 1000, "monday.sql");
	expect(box, "tuesday.sql", 999, NULL);
	expect(box, "tuesday.sql", 16003, "monday.sql");
	expect(box, "tuesday.sql", 16004, NULL);
}

static void
a_new_directory_continues_the_one_that_is_most_like_it(void **state)
{
	struct job_box *box = *state;

	job_shell(box, PUT "for day in 28 29 30; do for db in a b; do put \"$1\" $day 2026/11/$day/$db.sql 3000; done; touch -d \"2026-11-$day 02:00\" \"$1/2026/11/$day\"; done");
	job_backup_ok(box);
	expect(box, "2026/12/01/b.sql", 3000, "2026/11/30/b.sql");
	expect(box, "2027/01/01/a.sql", 3000, "2026/11/30/a.sql");
	expect(box, "2026/11/31/a.sql", 3000, "2026/11/30/a.sql");
	/* One that is there is no new one, and is not left. */
	expect(box, "2026/11/29/c.tar", 3000, NULL);
}

/* Its directory's files are found between the many of directories below, on whatever page they are. */
static void
a_file_among_many_is_found(void **state)
{
	struct job_box *box = *state;

	job_shell(box, PUT "put \"$1\" 20 k-11-20 3000; put \"$1\" 21 k-11-21 3000; put \"$1\" 10 z1 3000\n"
			   "for d in a k k-11-1 l; do mkdir \"$1/$d\"; i=0; while [ $i -lt 300 ]; do echo $d $i >\"$1/$d/$i\"; i=$((i+1)); done; done");
	job_backup_ok(box);
	expect(box, "k-11-22", 3000, "k-11-21");
	expect(box, "k-12-01", 3000, "k-11-21");
	expect(box, "a-11-21", 3000, "k-11-21");
	expect(box, "z2", 3000, "z1");
	expect(box, "l/k-11-22", 3000, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_alike_in_what_they_begin_and_end_with),
		cmocka_unit_test_setup_teardown(the_newest_dump_of_the_same_name_but_for_its_date_is_found, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(the_size_must_be_about_the_same, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_new_directory_continues_the_one_that_is_most_like_it, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_file_among_many_is_found, job_setup, job_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
